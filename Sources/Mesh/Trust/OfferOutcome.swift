public import DWN
public import Wire

/// What came of records that were offered to a `MeshReader`.
public struct OfferOutcome: Sendable {
  /// To be committed before the new view is used.
  public var store = StoreChange()
  /// The view, or what this device may write, may be different now.
  public var changed = false
  /// Set when a head was accepted.
  public var acceptedHead: MeshView.Head?
  /// Refusals of a kind that did not occur before, to be logged.
  public var refusals: [Refusal] = []
  /// Records to be read by id at the same endpoint: shown without their data, or held and no longer shown. The answer is offered
  /// as a partial fetch; a 404 carries the signed delete.
  public var readByID: Set<RecordID> = []
}

/// How much of the network's records an offer is.
public enum FetchExtent: Hashable, Sendable {
  /// Something of it: a poll, a record read by id, an event.
  case partial
  /// Everything the endpoint shows at the paths that heads cover, with head and definition, the head asked for first.
  case complete
}

/// Why the newest head that was shown is not accepted.
public struct Mismatch: Hashable, Sendable, CustomStringConvertible {
  public enum Cause: Hashable, Sendable {
    /// What was shown is not what the head covers.
    case differs(held: Int)
    /// The set fits and its policy is encrypted to a key that has not arrived.
    case keyMissing(KeyEpoch)
    case noDefinition
    case noNetworkRecord
    /// The key that admitted this device names a later head.
    case beforeAdmission(Int64)
  }

  public var seq: Int64
  public var acceptedSeq: Int64?
  public var cause: Cause
  public var since: Instant
  /// Complete fetches that did not help.
  public var attempts: Int

  /// For people, when it has lasted longer than `patience`.
  public var description: String {
    let stays = acceptedSeq.map { "the state of head \($0) stays in force" } ?? "no state is in force yet"
    switch cause {
    case .differs(let held):
      return
        "head \(seq) covers another set than the \(held) records that were shown: something is withheld or still on its way; \(stays)"
    case .keyMissing(let epoch):
      return "head \(seq) is waiting for the network key of epoch \(epoch), which the anchor delivers; \(stays)"
    case .noDefinition: return "head \(seq) cannot be checked: the anchor's protocol definition was not shown; \(stays)"
    case .beforeAdmission(let lowest):
      return
        "head \(seq) is older than the mesh that admitted this device, whose head \(lowest) was not shown; \(stays)"
    case .noNetworkRecord: return "head \(seq) cannot be checked: the network record was not shown; \(stays)"
    }
  }

  /// How long a mismatch may last before people hear of it.
  public static let patience: Duration = .seconds(10)
}
