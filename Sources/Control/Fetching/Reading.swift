import DWN
import Identity
import Logging
import Mesh
import Netmap
import Wire

/// What a control plane does to read: one fetch from one endpoint at a time, and what follows from it.
extension DWNControlPlane {
  /// Asks an endpoint for what its plan says, and plans the next time.
  func fetch(_ index: Int) async {
    let extent = plans[index].extent(at: clock.now())
    plans[index].began()
    let seqBefore = reader.acceptedHead?.seq ?? 0
    snapshot.lastAttemptAt = clock.wallTime()
    let result: PollPlan.Outcome
    do throws(NodeQueries.Failure) {
      result = isAnchor ? try await watch(index, extent) : try await poll(index, extent)
      noteAnswer(from: index)
    } catch {
      result = .failed(retryAfter: noteFailure(error, from: index))
    }
    let now = clock.now()
    plans[index].finished(extent, result, at: now, jitter: jitter)
    // Where this machine may read it may be told by now, too.
    if extent == .complete, result == .settled { restartFollowing(index) }
    if !isAnchor {
      choose(after: result, of: index, at: now)
      // Who is read by itself does not know yet that it is behind.
      if index != choice.preferred, reader.acceptedHead?.seq ?? 0 > seqBefore {
        plans[choice.preferred].hinted(.recent, at: now)
        wake(.fetch(choice.preferred))
      }
    }
    if case .mismatch = result, reader.mismatch?.attempts == 1 {
      for other in plans.indices where other != index {
        plans[other].hinted(.complete, at: now)
        wake(.fetch(other))
      }
    }
  }

  func queries(to index: Int) -> NodeQueries {
    NodeQueries(
      endpoint: endpoints[index], network: network, signer: MessageSigner(configuration.identity),
      role: isAnchor ? nil : role(at: index), time: clock.wallTime())
  }

  /// By which right records are read at an endpoint. They need not have the same: one may not know yet, or not any more, who is in.
  func role(at index: Int) -> ProtocolPath { roles[endpoints[index].name] ?? MeshProtocol.node }

  // MARK: - A member

  private func poll(_ index: Int, _ extent: PollPlan.Extent) async throws(NodeQueries.Failure) -> PollPlan.Outcome {
    // Keys come before the head that admits: who has been handed some asks again soon.
    var hasKeys = false
    var newestHead: Int64?
    var before = taken
    do {
      if extent == .definition { return try await askForDefinition(index) }
      if extent == .complete { try await republishDefinition(at: index) }
      if extent == .recent {
        let since = WallTime.recentlyUpdated(newestSeen: view?.newestStamp, now: clock.wallTime())
        let recent = try await queries(to: index).recent(since: since, withMembers: hasMembers)
        await take(recent.shown, .partial, isOvertaken: taken != before)
        newestHead = reader.newestHead(among: recent.shown)
        if !recent.isAdmitted {
          try await askWithoutRole(index)
          return .nothing
        }
      }
      // What is asked for in parts shows that there is something new; whole, it can be accepted.
      if extent == .complete || reader.mismatch != nil || !reader.hasAccepted {
        let expected = await ownRecords(doneAt: index)
        before = taken
        let shown = try await queries(to: index).complete()
        let outcome = await take(shown, .complete, isOvertaken: taken != before)
        for grant in reader.grants.sorted() {
          await take(try await queries(to: index).revocations(of: grant), .partial)
        }
        newestHead = [newestHead, reader.newestHead(among: shown)].compactMap { $0 }.max()
        hasKeys = shown.contains { $0.message["descriptor"]?["protocol"]?.string == KeyDeliveryProtocol.uri }
        await republish(expected, unlessIn: shown, at: index)
        try await readByID(outcome.readByID, from: index)
      }
    } catch .notAdmitted {
      try await askWithoutRole(index)
      return .nothing
    }
    if reader.mismatch != nil { return .mismatch }
    if !network.envelope.hasHeads { return reader.hasAccepted ? .settled : .nothing }
    guard let accepted = reader.acceptedHead else { return hasKeys ? .mismatch : .nothing }
    return (newestHead ?? 0) >= accepted.seq ? .settled : .outdated
  }

  /// What this machine installed on its own tenant, so that keys can be delivered to it: a node that lost it is given it again.
  private func republishDefinition(at index: Int) async throws(NodeQueries.Failure) {
    guard network.envelope == .v1 else { return }
    let name = endpoints[index].name
    var installed: [AuthoredMessage] = []
    for message in await keeper.ledger.outgoing where message.signed.message.kind == .protocolsConfigure {
      if await keeper.state(of: message, at: name) == .done { installed.append(message) }
    }
    let did = configuration.identity.did
    guard !installed.isEmpty, try await queries(to: index).lacksDefinition(of: did) else { return }
    await keeper.reopen(installed, at: name)
    resume(publishingTo: index)
  }

  /// A head was told that covers something else than what is held. Of a changed definition nobody is told; if it is not that,
  /// everything is asked for.
  private func askForDefinition(_ index: Int) async throws(NodeQueries.Failure) -> PollPlan.Outcome {
    guard reader.mismatch != nil else { return .settled }
    let before = taken
    let shown = try await queries(to: index).definitions(of: MeshProtocol.uri)
    await take(shown, .partial, isOvertaken: taken != before)
    return reader.mismatch == nil ? .settled : .mismatch
  }

  /// The mesh does not let this machine read, as a node or as a member: it may have been removed, which its own node record
  /// tells, or not have been admitted yet, or own its machines as a member.
  private func askWithoutRole(_ index: Int) async throws(NodeQueries.Failure) {
    roles[endpoints[index].name] = role(at: index) == MeshProtocol.node ? MeshProtocol.member : MeshProtocol.node
    let queries = queries(to: index)
    await take(try await queries.deliveries(), .partial)
    try await readByID(Set(reader.ownNodeRecords), from: index, role: nil)
  }

  private var hasMembers: Bool {
    view.map { view in !view.members.isEmpty || view.nodes.contains { $0.path == MeshProtocol.memberNode } } ?? true
  }

  /// Records that were held and not shown, or shown without their data. What comes may ask for more, once.
  func readByID(_ records: Set<RecordID>, from index: Int) async throws(NodeQueries.Failure) {
    try await readByID(records, from: index, role: isAnchor ? nil : role(at: index))
  }

  private func readByID(
    _ records: Set<RecordID>, from index: Int, role: ProtocolPath?
  ) async throws(NodeQueries.Failure) {
    var shown: [ReplyEntry] = []
    let queries = queries(to: index)
    for record in records.sorted() {
      do throws(NodeQueries.Failure) {
        if let entry = try await queries.read(record, role: role) { shown.append(entry) }
      } catch {
        // One record that cannot be read must not keep the delete of another from being seen.
        switch error {
        case .unanswered, .excessive: throw error
        case .notAdmitted, .refused: break
        }
      }
    }
    if !shown.isEmpty { await take(shown, .partial) }
  }

  private func choose(after result: PollPlan.Outcome, of index: Int, at now: Instant) {
    // Where every endpoint is behind, each is asked in turn at the usual pace.
    var pause = PollPlan.quickInterval
    switch result {
    case .failed: choice.failed(index)
    case .outdated:
      choice.failed(index)
      pause = PollPlan.calmInterval
      logger.info("an endpoint is behind", metadata: ["endpoint": "\(endpoints[index].name)"])
    case .nothing where view?.own != nil:
      // It lost what it had, or does not know this machine, which nobody has removed: another one may have all of it.
      choice.failed(index)
      pause = PollPlan.calmInterval
    case .settled, .mismatch, .nothing: choice.succeeded(index)
    }
    for other in plans.indices where other != choice.preferred { plans[other].demote(at: now) }
    plans[choice.preferred].promote(at: choice.hasStartedOver ? now + pause : now)
    for endpoint in plans.indices { want(endpoint, endpoint == choice.preferred) }
    reviseEndpoints()
    wakeActive()
  }

  // MARK: - What was shown

  /// Offers records to the reader, keeps what is new about them, and lets a changed view take effect.
  ///
  /// `isOvertaken`: something newer may have been taken since the endpoint was asked. `place`: how far a subscription has come with
  /// this, to be kept together with it.
  @discardableResult
  func take(
    _ entries: [ReplyEntry], _ extent: FetchExtent, isOvertaken: Bool = false,
    upTo place: (SubscriptionPlace, ProgressToken)? = nil
  ) async -> OfferOutcome {
    var outcome = reader.offer(
      entries, extent: extent, isOvertaken: isOvertaken, at: clock.now(), wall: clock.wallTime())
    if outcome.changed { taken &+= 1 }
    if let (place, cursor) = place {
      outcome.store.verified[network.id, default: VerifiedChange()].cursors[place] = cursor
    }
    for refusal in outcome.refusals where !refusal.isBehind(configuration.identity.did) {
      logger.warning(
        "refused a record",
        metadata: [
          "record": "\(refusal.recordID ?? "-")", "path": "\(refusal.path ?? "-")",
          "author": "\(refusal.author ?? "-")",
          "reason": "\(refusal.reason)",
        ])
    }
    if let head = outcome.acceptedHead {
      logger.info("accepted a head", metadata: ["seq": "\(head.seq)", "epoch": "\(head.epoch)"])
    }
    do {
      try await keeper.commits.commitOrKeep(outcome.store)
      saveError = nil
    } catch {
      // What was verified is in force also when it cannot be saved: after a restart this machine may be shown an older state, but
      // until then nobody whose removal it has seen comes back.
      saveError = "what was verified cannot be saved: \(error)"
      logger.error("cannot save verified records", metadata: ["error": "\(error)"])
    }
    if outcome.changed {
      let now = clock.now()
      for index in plans.indices {
        plans[index].changed(at: now)
        restartFollowing(index)
      }
      translate()
      wake(.upkeep)
    }
    return outcome
  }

  private func noteAnswer(from index: Int) {
    readTroubles[index] = nil
    silences[index].answered()
    snapshot.refreshedAt = clock.wallTime()
    snapshot.lastError = nil
    snapshot.consecutiveFailures = 0
    snapshot.state = reader.mismatch == nil ? .healthy : .degraded
  }

  /// Returns how long to leave the endpoint alone at least.
  private func noteFailure(_ failure: NodeQueries.Failure, from index: Int) -> Duration {
    let name = endpoints[index].name
    if failure.isAnswer { silences[index].answered() } else { silences[index].unanswered(at: clock.now()) }
    var pause: Duration = .zero
    let text: String
    switch failure {
    case .unanswered(let error):
      if case .rateLimited(_, let after) = error { pause = after }
      text = error.description
    case .notAdmitted(let detail):
      text = EndpointTrouble.reason(refusedBy: name, detail, isOwnTenant: isAnchor)
    case .refused(let status): text = "\(name) answered \(status.code) \(status.detail)"
    case .excessive: text = "\(name) shows more than a network can have"
    }
    // Each endpoint's once, and not in turn with what the others' say.
    if readTroubles[index]?.reason != text {
      logger.warning("cannot fetch", metadata: ["endpoint": "\(name)", "error": "\(text)"])
    }
    noteTrouble(text, reading: index)
    snapshot.lastError = text
    snapshot.consecutiveFailures += 1
    snapshot.state = .degraded
    return pause
  }
}

extension MeshView {
  /// The newest stamp of any record that it rests on.
  var newestStamp: WallTime {
    let stamps = nodes.map(\.newestStamp) + [head?.stamp].compactMap { $0 }
    return stamps.max() ?? WallTime(microseconds: 0)
  }
}
