import DataPath
import Netmap

extension PacketFilter {
  /// The netmap's rules in the packet path's form.
  convenience init(_ filter: PacketFilterRules) {
    self.init(
      rules: filter.rules.map { rule in
        Rule(
          accepts: rule.action == .accept, sources: rule.sources, sourcePorts: rule.sourcePorts,
          destinations: rule.destinations, destinationPorts: rule.destinationPorts, protocols: rule.protocols)
      }, acceptsByDefault: filter.defaultAction == .accept)
  }
}
