import DWN
import Wire

extension MeshReader {
  /// Tries every head that waits, the newest first (`trust.md` section 4). The hash is the proof: nothing held can veto a set
  /// that was shown, and nothing shown can be slipped into one that is held.
  mutating func settle(extent: FetchExtent, at now: Instant, wall: WallTime, _ outcome: inout OfferOutcome) {
    var newestCause: Mismatch.Cause?
    for head in heads.pending.reversed() {
      switch verdict(on: head) {
      case .success(let set):
        accept(head, set, wall: wall)
        outcome.changed = true
        outcome.acceptedHead = acceptedHead
      case .failure(let cause):
        newestCause = newestCause ?? cause.cause
        continue
      }
      break
    }
    guard let waiting = heads.pending.last, let cause = newestCause else {
      newestMismatch = nil
      return
    }
    newestMismatch = Mismatch(
      seq: waiting.record.seq, acceptedSeq: heads.accepted?.record.seq, cause: cause,
      since: newestMismatch?.since ?? now,
      attempts: (newestMismatch?.attempts ?? 0) + (extent == .complete ? 1 : 0))
  }

  private struct NotYet: Error {
    let cause: Mismatch.Cause
  }

  private mutating func verdict(on head: HeadLine.Entry) -> Result<LiveSet, NotYet> {
    guard head.record.seq >= heads.lowestSeq else { return .failure(NotYet(cause: .beforeAdmission(heads.lowestSeq))) }
    guard records.initials[network.id.recordID] != nil else { return .failure(NotYet(cause: .noNetworkRecord)) }
    guard records.definition(at: head.stamp) != nil else { return .failure(NotYet(cause: .noDefinition)) }
    var candidate = records.liveSet(at: head.stamp)
    if candidate.hash != head.record.records {
      guard let lastComplete else { return .failure(NotYet(cause: .differs(held: candidate.elements.count))) }
      candidate = records.liveSet(at: head.stamp, shown: lastComplete)
      guard candidate.hash == head.record.records else {
        return .failure(NotYet(cause: .differs(held: candidate.elements.count)))
      }
    }
    if let policy = policy(in: candidate), case .unusable(let error) = opened.payload(policy),
      let epoch = error.missingEpoch
    {
      return .failure(NotYet(cause: .keyMissing(epoch)))
    }
    return .success(candidate)
  }

  /// Opens what views rest on, once, so that making a view costs no cryptography.
  mutating func openHeld() {
    for (_, versions) in records.slots {
      for held in versions where !held.write.path.isControl { _ = opened.payload(held) }
    }
  }

  func policy(in set: LiveSet) -> HeldRecords.Held? {
    records.slots[.place(MeshProtocol.aclPolicy, network.id.contextID)]?
      .last { set.elements.contains($0.write.signed.element) }
  }

  private mutating func accept(_ head: HeadLine.Entry, _ set: LiveSet, wall: WallTime) {
    heads.accept(head)
    records.accept(set, at: head.stamp)
    acceptedAt = wall
  }

  /// The head in force.
  public var acceptedHead: MeshView.Head? {
    guard let head = heads.accepted, let acceptedAt else { return nil }
    return MeshView.Head(seq: head.record.seq, epoch: head.record.epoch, stamp: head.stamp, acceptedAt: acceptedAt)
  }

  /// Whether there is a state to believe: a head's, or in a network without heads what was shown once.
  public var hasAccepted: Bool { acceptedAt != nil }

  /// What the head in force covers.
  public var acceptedSet: LiveSet? { records.accepted?.set }

  /// Why the newest head that was shown is not in force; `nil` when it is, or when none was shown.
  public var mismatch: Mismatch? { newestMismatch }
}
