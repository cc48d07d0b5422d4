import Foundation

/// `miniupnpd` on a router of the lab: NAT-PMP, PCP and UPnP IGD.
///
/// It refuses private external addresses, so the lab's are public-looking ones.
enum PortMappingDaemon {
  static let chain = "miniupnpd"
  static let descriptionPort = 5000

  /// Where it writes its rules; they come before the router's own.
  static let table = """
    table inet upnp {
      chain prerouting_miniupnpd { }
      chain postrouting_miniupnpd { }
      chain arriving { type nat hook prerouting priority dstnat - 1; jump prerouting_miniupnpd; }
      chain leaving { type nat hook postrouting priority srcnat - 1; jump postrouting_miniupnpd; }
    }
    """

  /// Starts it between these two interfaces and returns when it listens.
  static func start(
    on router: NetworkNamespace, outside: String, inside: String, for prefix: String, _ lab: NetworkLab
  ) async throws {
    let configuration = lab.folder.appendingPathComponent("\(router.label)-miniupnpd.conf")
    try """
    ext_ifname=\(outside)
    listening_ip=\(inside)
    ipv6_disable=yes
    enable_natpmp=yes
    enable_upnp=yes
    secure_mode=yes
    http_port=\(descriptionPort)
    upnp_table_name=filter
    upnp_nat_table_name=upnp
    upnp_forward_chain=\(chain)
    upnp_nat_chain=prerouting_miniupnpd
    upnp_nat_postrouting_chain=postrouting_miniupnpd
    uuid=7b2b9f1e-5f0c-4c3e-9b1a-2f0e5f6d7a11
    allow 1024-65535 \(prefix) 1024-65535
    deny 0-65535 0.0.0.0/0 0-65535

    """.write(to: configuration, atomically: true, encoding: .utf8)
    let process = try await lab.start(
      ["miniupnpd", "-d", "-f", configuration.path, "-P", configuration.path + ".pid"], in: router)
    let listens = try await eventually(.seconds(10)) {
      try await !router.run("ss", "-Hltn", "sport = :\(descriptionPort)").isEmpty
    }
    guard listens else { throw Missing(what: "a listening miniupnpd", in: process.output) }
  }
}
