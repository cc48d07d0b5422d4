import Cryptography
import Foundation
import Mesh
import Wire

/// Where others reach a relay: what its record says of it.
struct RelayPlace: Hashable, Sendable {
  let host: RelayHost
  let port: UInt16
  /// What host and port stand for besides, so that hosts of either family find it.
  let ipv4: IPAddress?
  let ipv6: IPAddress?

  /// The place behind the URLs of the listener that the relay shares or has, best first. The first that can be one counts, and for the
  /// other families those after it on the same port. `nil` if none can: a path or TLS in a URL means that another server stands before
  /// this one, which does not hand through what a relay speaks.
  init?(urls: [String]) {
    let places = urls.compactMap(Self.split)
    guard let first = places.first else { return nil }
    func literal(_ family: IPAddress.Family) -> IPAddress? {
      places.lazy.filter { $0.port == first.port }.compactMap { place -> IPAddress? in
        guard case .address(let address) = place.host, address.family == family else { return nil }
        return address
      }.first
    }
    host = first.host
    port = first.port
    ipv4 = literal(.v4)
    ipv6 = literal(.v6)
  }

  private static func split(_ url: String) -> (host: RelayHost, port: UInt16)? {
    guard let parts = URLComponents(string: url), parts.scheme?.lowercased() == "http",
      parts.path.isEmpty || parts.path == "/", let text = parts.host,
      let host = RelayHost(text.hasPrefix("[") ? String(text.dropFirst().dropLast()) : text)
    else { return nil }
    return UInt16(exactly: parts.port ?? 80).flatMap { $0 == 0 ? nil : (host, $0) }
  }

  /// `HOST` or `HOST:PORT` as a URL of the kind above. `nil` if it is neither.
  static func url(_ text: String, defaultPort: UInt16) -> String? {
    if let address = IPAddress(text) { return "http://\(SocketAddress(address, port: defaultPort))" }
    let url = text.hasPrefix("[") || text.contains(":") ? "http://\(text)" : "http://\(text):\(defaultPort)"
    return split(url) == nil ? nil : url
  }

  func plan(certificate: Bytes32, stunPorts: [UInt16], region: String) -> RelayPlan {
    RelayPlan(
      host: host, port: port, ipv4: ipv4, ipv6: ipv6, certSHA256: certificate, stunPorts: stunPorts, region: region)
  }

  func offer(certificate: Bytes32, stunPorts: [UInt16]) -> RelayOffer {
    RelayOffer(host: host, ipv4: ipv4, ipv6: ipv6, port: port, stunPorts: stunPorts, certSHA256: certificate)
  }
}
