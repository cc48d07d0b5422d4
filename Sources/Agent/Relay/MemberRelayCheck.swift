import DERP
import Mesh
import NIOPosix
import Netmap
import Wire

/// The anchor's look at a relay that a member offers, before a record of it is written (`reach.md` 2): it must be reached from
/// elsewhere, and show the certificate that the member says.
enum MemberRelayCheck {
  static let patience: Duration = .seconds(10)

  /// The part of an offer that may be recorded: what is reached under public addresses, each of which has shown the certificate. `nil`:
  /// nothing is. A member does not get to choose whom the anchor, or anybody who reads the record, knocks at in their own networks.
  ///
  /// - Parameters:
  ///   - isPublic: whether machines elsewhere can mean the same by an address.
  ///   - lookUp: all addresses that a name stands for, as those who dial it will see them.
  static func passing(
    _ offer: RelayOffer, isPublic: (IPAddress) -> Bool = PublicAddresses.contains,
    lookUp: (String) async -> [IPAddress] = addresses
  ) async -> RelayOffer? {
    guard let offer = offer.limited(to: isPublic) else { return nil }
    var named: [IPAddress] = []
    if case .name(let name)? = offer.host {
      named = await lookUp(name)
      if !named.allSatisfy(isPublic) { named = [] }
    }
    var literals = [offer.ipv4, offer.ipv6].compactMap { $0 }
    if case .address(let address)? = offer.host { literals.append(address) }
    let passed = await withTaskGroup(of: IPAddress?.self) { group in
      for address in Set(literals + named) {
        group.addTask { await completes(address, offer) ? address : nil }
      }
      var passed: Set<IPAddress> = []
      for await case let address? in group { passed.insert(address) }
      return passed
    }
    return part(of: offer, passed, named: named)
  }

  /// What may be said once these addresses have passed.
  static func part(of offer: RelayOffer, _ passed: Set<IPAddress>, named: [IPAddress]) -> RelayOffer? {
    var offer = offer
    if case .name? = offer.host, passed.isDisjoint(with: named) { offer.host = nil }
    return offer.limited(to: passed.contains)
  }

  private static func completes(_ address: IPAddress, _ offer: RelayOffer) async -> Bool {
    await RelayCheck.completesHandshake(
      with: Relay(
        id: 0, region: "", host: address.description, port: offer.port, certificateSHA256: offer.certSHA256),
      within: patience)
  }

  /// The system's resolver, on a thread that may wait.
  private static func addresses(of name: String) async -> [IPAddress] {
    let found = try? await HostLookup.threads.runIfActive {
      IPAddress.Family.allCases.flatMap { HostLookup.addresses(of: name, $0) }
    }
    return found ?? []
  }
}
