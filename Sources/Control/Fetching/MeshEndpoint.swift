import Mesh
import Wire

/// The anchor's node, reached over the mesh itself: what a member tries last (`reach.md` section 1), so that records stay reachable
/// when every other way to the node is gone.
struct MeshEndpoint: Hashable, Sendable {
  /// The anchor's mesh address.
  let address: IPAddress
  let port: UInt16

  /// At which a node listens unless somebody said otherwise.
  static let usualPort: UInt16 = 8787

  init(address: IPAddress, port: UInt16) {
    self.address = address
    self.port = port
  }

  /// The port is that of the anchor's own addresses, as its endpoint record has them: a port that is forwarded elsewhere may be another, and
  /// so may be a replica's. Where none is among them, the last address in the network's record counts. `nil` while the anchor is no
  /// machine of the mesh.
  init?(_ view: MeshView) {
    guard let anchor = view.nodes.first(where: { $0.did == view.network.anchor }) else { return nil }
    let named = (view.record?.anchorEndpoints ?? []).filter { $0.hasPrefix("http://") }.compactMap(Self.address)
    let known = anchor.endpoint.map { $0.localEndpoints + $0.publicEndpoints.map(\.address) } ?? []
    let own = Set(known.map(\.ip))
    let address = named.last { own.contains($0.ip) } ?? named.last
    self.init(address: anchor.meshIP, port: address?.port ?? Self.usualPort)
  }

  var url: String { "http://\(SocketAddress(address, port: port))" }

  /// Of a URL whose host is a literal address.
  private static func address(of url: String) -> SocketAddress? {
    SocketAddress(url.drop { $0 != "/" }.dropFirst(2))
  }
}
