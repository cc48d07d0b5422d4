import DERP
import Mesh
import NIOCore
import NIOPosix
import Netmap
import Wire

/// The anchor's look at a relay that a member offers, before a record of it is written (`reach.md` 2): it must be reached from
/// elsewhere, and show the certificate that the member says.
enum MemberRelayCheck {
  static let patience: Duration = .seconds(10)

  static func passes(_ offer: RelayOffer) async -> Bool {
    for address in await addresses(of: offer) {
      let relay = Relay(
        id: 0, region: "", host: address.description, port: offer.port, certificateSHA256: offer.certSHA256)
      if await RelayCheck.completesHandshake(with: relay, within: patience) { return true }
    }
    return false
  }

  /// Global ones alone: a member does not get to choose whom the anchor knocks at in its own network.
  private static func addresses(of offer: RelayOffer) async -> [IPAddress] {
    var addresses = [offer.ipv4, offer.ipv6].compactMap { $0 }
    switch offer.host {
    case .address(let address): addresses.append(address)
    case .name(let name): if addresses.isEmpty { addresses = await lookUp(name, port: offer.port) }
    case nil: break
    }
    return addresses.filter(\.isGlobal)
  }

  /// The system's resolver, on a thread that may wait.
  private static func lookUp(_ name: String, port: UInt16) async -> [IPAddress] {
    let found = try? await NIOThreadPool.singleton.runIfActive {
      try NIOCore.SocketAddress.makeAddressResolvingHost(name, port: Int(port)).ipAddress
    }
    return (found ?? nil).flatMap { IPAddress($0) }.map { [$0] } ?? []
  }
}

extension IPAddress {
  /// Whether it may be reached from everywhere.
  fileprivate var isGlobal: Bool {
    !isPrivate && !isLoopback && !isLinkLocal && !isMulticast && !isUnspecified
  }
}
