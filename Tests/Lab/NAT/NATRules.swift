/// What makes a Linux router behave as a kind of NAT does, in the language of nftables.
///
/// Connection tracking alone gives *endpoint-independent mapping* with *address and port-dependent filtering*: it translates a host's
/// port to the same port of the router wherever the host sends to, as long as it remembers any of these flows. Answers come in, and
/// nothing else does. The other kinds add to this or take away.
struct NATRules: Sendable {
  /// How the router picks the port that a host's port becomes.
  enum Mapping: Sendable {
    /// One of these for all destinations. Never the host's own: who takes the one for the other is found out.
    case independent(ports: ClosedRange<UInt16>)
    /// The host's own for all destinations, as most routers at home do it.
    case same
    /// A random one for each destination.
    case random
  }

  /// Who may send to a mapped port.
  enum Filtering: Sendable {
    case nobodyElse
    /// Whoever has the address of somebody that the host sent to from that port.
    case knownAddresses
    case everybody
  }

  /// The interface to the outside and its address.
  let outside: String
  let address: String
  var mapping = Mapping.independent(ports: 20000...29999)
  var filtering = Filtering.nobodyElse
  /// Whether packets from within to the router's own public address are turned around.
  var turnsAround = false
  /// Drops all UDP.
  var dropsUDP = false
  /// Hosts that share the address, each with ports of its own; nothing passes between them.
  var customers: [(address: String, ports: ClosedRange<UInt16>)] = []
  /// Leaves room for the rules that `miniupnpd` writes.
  var takesRequests = false

  /// How long a mapping that nobody uses is kept.
  static let lifetime = "120s"

  /// A ruleset for `nft -f`.
  var text: String {
    """
    table inet filter {
      chain \(PortMappingDaemon.chain) { }
      chain input {
        type filter hook input priority filter; policy accept;
        iifname "\(outside)" ct state established,related accept
        iifname "\(outside)" meta l4proto icmp accept
        ip daddr \(address) drop
        iifname "\(outside)" drop
      }
      chain forward {
        type filter hook forward priority filter; policy drop;
        \(dropsUDP ? "meta l4proto udp drop" : "")
        ct state established,related accept
        ct status dnat accept
        \(takesRequests ? "jump \(PortMappingDaemon.chain)" : "")
        iifname != "\(outside)" oifname "\(outside)" accept
      }
    }
    table ip nat {
      map hosts { type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; size 65535; }
      set known { type ipv4_addr . inet_service; flags dynamic,timeout; size 65535; }
      chain arriving {
        type nat hook prerouting priority dstnat;
        \(arriving.joined(separator: "\n    "))
      }
      chain leaving {
        type nat hook postrouting priority srcnat;
        \(leaving.joined(separator: "\n    "))
      }
      chain learning {
        type filter hook postrouting priority srcnat + 50;
        \(learning.joined(separator: "\n    "))
      }
    }
    \(takesRequests ? PortMappingDaemon.table : "")
    """
  }

  private var arriving: [String] {
    switch filtering {
    case .nobodyElse: []
    case .knownAddresses: ["iifname \"\(outside)\" ip saddr . udp dport @known dnat ip to udp dport map @hosts"]
    case .everybody:
      ["\(turnsAround ? "" : "iifname \"\(outside)\" ")ip daddr \(address) dnat ip to udp dport map @hosts"]
    }
  }

  private var leaving: [String] {
    let away = "oifname \"\(outside)\""
    var rules: [String]
    switch mapping {
    case .independent(let ports):
      rules = customers.map { customer in
        "\(away) ip saddr \(customer.address) meta l4proto { tcp, udp } "
          + "snat to \(address):\(Self.range(customer.ports))"
      }
      rules.append("\(away) meta l4proto { tcp, udp } snat to \(address):\(Self.range(ports))")
      rules.append("\(away) snat to \(address)")
      // What was turned around comes from the address that others know as well.
      if turnsAround {
        rules.append(
          "oifname != \"\(outside)\" ct status dnat meta l4proto udp snat to \(address):\(Self.range(ports))")
      }
    case .same: rules = ["\(away) masquerade"]
    case .random: rules = ["\(away) masquerade random,fully-random"]
    }
    return rules
  }

  /// Packets that leave have got their new source here already.
  private var learning: [String] {
    let leaving = "oifname \"\(outside)\" meta l4proto udp"
    // Whoever began: the host is the sender of this packet.
    let hosts = ["original", "reply"].map { way in
      "\(leaving) ct direction \(way) update @hosts "
        + "{ udp sport timeout \(Self.lifetime) : ct \(way) ip saddr . ct \(way) proto-src }"
    }
    return switch filtering {
    case .nobodyElse: []
    case .knownAddresses: hosts + ["\(leaving) update @known { ip daddr . udp sport timeout \(Self.lifetime) }"]
    case .everybody: hosts
    }
  }

  private static func range(_ ports: ClosedRange<UInt16>) -> String { "\(ports.lowerBound)-\(ports.upperBound)" }
}
