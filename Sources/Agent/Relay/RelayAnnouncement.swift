import Control
import Cryptography
import Identity
import Mesh
import Wire

/// What the anchor's records say of the relay that its own daemon runs. In networks with encryption v1 nothing is registered by itself
/// (`reach.md` 2).
extension MeshSession {
  /// Writes the record, or writes it anew where it says something else.
  func announce(_ relay: RelayPlan, in network: NetworkState) async throws {
    guard mayRegisterRelays(in: network) else { return }
    let id = network.reference.id
    try await keeper.perform { ledger in
      try ledger.announceRelay(relay, in: id, now: .now(), random: SystemRandom())
    }
  }

  /// Ends the record of a relay that this machine ran and runs no more; it is known by the certificate that is still kept.
  func withdrawRelay(from network: NetworkState) async throws {
    guard mayRegisterRelays(in: network), let certificate = try directory.keptRelayCertificate else { return }
    let id = network.reference.id
    for relay in await keeper.ledger.relays(of: id) where relay.nodeDID == nil && relay.certSHA256 == certificate {
      try await keeper.perform { ledger in try ledger.removeRelay(relay.id, from: id, now: .now()) }
    }
  }

  /// Whether this machine writes the network's relay records itself; others offer theirs in what they say of themselves.
  func mayRegisterRelays(in network: NetworkState) -> Bool {
    network.anchor == identity.did && network.envelope.registersRelays
  }
}
