import DWNClient
import Identity
import Logging
import Mesh
import Wire

/// What the anchor does for the relays of members, where they are registered.
extension DWNControlPlane {
  var tendsRelays: Bool { isAnchor && network.envelope.registersRelays && configuration.verifyRelay != nil }

  func relayDeadline() async -> Instant? {
    guard tendsRelays else { return nil }
    await observeRelays()
    return memberRelays.deadline(at: clock.now(), wall: clock.wallTime())
  }

  func tendRelays() async {
    guard let verify = configuration.verifyRelay else { return }
    await observeRelays()
    for id in memberRelays.ended(at: clock.wallTime()) {
      logger.info("a member offers its relay no more", metadata: ["relay": "\(id)"])
      await change { try $0.removeRelay(id, from: $1, now: $2) }
    }
    let trials = memberRelays.begin(at: clock.now())
    await withTaskGroup(of: (MemberRelays.Trial, RelayOffer?).self) { group in
      for trial in trials { group.addTask { (trial, await verify(trial.offer)) } }
      for await (trial, passed) in group {
        let isKnown = memberRelays.failures.contains(trial)
        let plan = memberRelays.tried(trial, passed: passed, at: clock.now())
        if let plan { await record(plan, as: trial.id) }
        if passed == nil, !isKnown, !Task.isCancelled { logger.warning("\(Self.failure(of: trial))") }
      }
    }
  }

  /// What is wrong with relays that members offer, for people at the anchor.
  var relayNotes: [String] { memberRelays.failures.map(Self.failure) }

  private static func failure(of trial: MemberRelays.Trial) -> String {
    let offer = trial.offer
    let reason =
      if let global = offer.limited(to: PublicAddresses.contains) {
        "its certificate was not shown at \(global.places.joined(separator: " or ")): TCP has to come through to it from outside"
      } else {
        "none of its addresses is public (\(offer.places.joined(separator: ", "))): 'meshd up --relay-advertise HOST' there gives it one"
      }
    return "the relay that \(trial.plan.region ?? trial.node.text) offers is not recorded: \(reason)"
  }

  private func record(_ plan: RelayPlan, as id: UInt16?) async {
    let random = random
    logger.info("a member's relay works", metadata: ["node": "\(plan.nodeDID?.text ?? "")"])
    await change { ledger, network, wall in
      guard let id else { return try ledger.addRelay(plan, to: network, now: wall, random: random).change }
      return try ledger.changeRelay(id, to: plan, in: network, now: wall, random: random)
    }
  }

  private func change(
    _ body: @escaping @Sendable (inout Ledger, NetworkID, WallTime) throws -> LedgerChange
  ) async {
    let (network, wall) = (network.id, clock.wallTime())
    do {
      try await keeper.perform { try body(&$0, network, wall) }
    } catch {
      logger.warning("a member's relay cannot be recorded", metadata: ["reason": "\(error)"])
    }
  }

  private func observeRelays() async {
    let relays = await keeper.ledger.recordedRelays(of: network.id)
    let nodes = (view?.nodes ?? []).filter { $0.did != configuration.identity.did }.map { node in
      MemberRelays.Node(
        did: node.did, member: node.record.owner ?? node.did, name: node.name, offer: node.endpoint?.relay,
        since: node.endpointStamp, newest: node.newestStamp)
    }
    memberRelays.observe(nodes, relays, at: clock.now(), wall: clock.wallTime())
  }
}
