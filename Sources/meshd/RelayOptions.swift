import Agent
import ArgumentParser
import Wire

/// Flags of a relay that this machine runs.
struct RelayOptions: ParsableArguments {
  @Flag(
    inversion: .prefixedNo, exclusivity: .exclusive,
    help: ArgumentHelp(
      "Run a relay for the network, or none (default: the machine whose daemon runs the network's node does, behind the same port)."
    ))
  var relay: Bool?

  @Option(
    name: .customLong("relay-listen"),
    help: ArgumentHelp(
      "Where a relay listens on a machine without a node; may be repeated (default 0.0.0.0:8788 and [::]:8788).",
      valueName: "addr:port"))
  var listen: [SocketAddress] = []

  @Option(
    name: .customLong("relay-advertise"),
    help: ArgumentHelp(
      "Where others reach that relay; may be repeated. 'none': what is found out, again.", valueName: "host[:port]"))
  var advertise: [String] = []

  var settings: RelaySettings { RelaySettings(isOn: relay, listen: listen, advertise: advertise) }
}
