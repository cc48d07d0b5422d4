import Mesh
import Netmap
import Wire

/// The addresses of this machine as its endpoint record tells them to the others.
struct AdvertisedAddresses: Hashable, Sendable {
  /// Of global scope, most useful first.
  private(set) var global: [SocketAddress] = []
  /// Of the machine's own networks, most useful first.
  private(set) var local: [SocketAddress] = []

  var isEmpty: Bool { global.isEmpty && local.isEmpty }

  /// Keeps the order in which they are given; what cannot be an endpoint is left out, and what is over the limits of a record.
  init(_ addresses: [SocketAddress], meshPrefixes: [IPPrefix]) {
    for address in EndpointHygiene(meshPrefixes: meshPrefixes).filter(addresses, limit: addresses.count) {
      if address.ip.isPrivate {
        if local.count < EndpointRecord.maximumLocalEndpoints { local.append(address) }
      } else if global.count < EndpointRecord.maximumPublicEndpoints {
        global.append(address)
      }
    }
  }

  /// Those of a record.
  init(_ record: EndpointRecord) {
    global = record.publicEndpoints.map(\.address)
    local = record.localEndpoints
  }

  /// Whether the record would say the same, in whatever order.
  func says(theSameAs other: AdvertisedAddresses) -> Bool {
    Set(global) == Set(other.global) && Set(local) == Set(other.local)
  }

  /// What is written. It names no disco key: a record without one means that the machine speaks plain WireGuard.
  func record(updatedAt: WallTime) -> EndpointRecord {
    EndpointRecord(
      publicEndpoints: global.map { EndpointRecord.PublicEndpoint($0, source: .local) }, localEndpoints: local,
      updatedAt: updatedAt
    ).bounded()
  }
}
