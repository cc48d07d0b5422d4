import DWN
import Identity
import Wire

/// The verified writes and deletes of one network, in their slots: what is held, what may join it, and what is live at a time.
///
/// Anchor and member use it alike, so that both mean the same by a live set.
struct HeldRecords: Sendable {
  struct Held: Sendable {
    let write: RecordsWrite
    let data: [UInt8]
  }

  /// Versions of one slot that are kept besides the one that the accepted head covers.
  static let versionLimit = 8
  /// Deletes that are remembered.
  static let endedLimit = 100_000

  /// In rising order of time. Slots outside the live set hold one.
  private(set) var slots: [SlotKey: [Held]] = [:]
  /// The initial write of every record that is held.
  private(set) var initials: [RecordID: RecordsWrite] = [:]
  private(set) var ended: [RecordID: WallTime] = [:]
  /// In rising order of time.
  private(set) var definitions: [(signed: SignedMessage, definition: MeshDefinition)] = []
  /// The accepted head's time, and the elements that it covers.
  private(set) var accepted: (stamp: WallTime, set: LiveSet)?

  var recordCount: Int { initials.count }

  func newest(_ key: SlotKey) -> Held? { slots[key]?.last }

  /// Whether a record, or one above it, was ended by a delete stamped no later than `time`; by any delete if that is `nil`.
  func isEnded(_ context: ContextID, by time: WallTime? = nil) -> Bool {
    guard !ended.isEmpty else { return false }
    return context.segments.contains { record in
      guard let stamp = ended[record] else { return false }
      return time.map { stamp <= $0 } ?? true
    }
  }

  // MARK: Joining

  /// Puts a checked write into its slot. The parent's place, the author and bounds were checked before.
  ///
  /// Returns `false` when it was already there.
  mutating func insert(_ write: RecordsWrite, data: [UInt8], initial: RecordsWrite) throws(Rejection) -> Bool {
    let key = SlotKey(write)
    var versions = slots[key] ?? []
    if versions.contains(where: { $0.write.signed.element == write.signed.element }) { return false }
    try checkAdmission(of: write)
    let held = Held(write: write, data: data)
    if LiveSet.covers(write.path) {
      versions.insert(held, at: versions.firstIndex { $0.write.timestamp > write.timestamp } ?? versions.count)
      if versions.count > Self.versionLimit, let oldest = versions.firstIndex(where: { !isAccepted($0.write) }) {
        versions.remove(at: oldest)
      }
    } else {
      versions = [held]
    }
    let replaced = Set((slots[key] ?? []).map(\.write.recordID) + [write.recordID])
    slots[key] = versions
    if initials[write.recordID] == nil { initials[write.recordID] = initial }
    forgetInitials(of: replaced, in: key)
    return true
  }

  /// Throws what `insert` would throw about a write that is not there yet.
  func checkAdmission(of write: RecordsWrite) throws(Rejection) {
    let versions = slots[SlotKey(write)] ?? []
    if isEnded(write.contextID) { throw Rejection(.ended) }
    if LiveSet.covers(write.path) {
      try checkAgainstHead(write, versions)
      guard !versions.contains(where: { $0.write.timestamp == write.timestamp }) else {
        throw Rejection(.olderThanSlot)
      }
    } else if let newest = versions.last, newest.write.timestamp >= write.timestamp {
      throw Rejection(.olderThanSlot)
    }
    guard initials[write.recordID] != nil || recordCount < MeshReader.recordLimit else {
      throw Rejection(.tooManyRecords)
    }
  }

  /// Once a head is accepted, what it could have covered and does not is over.
  private func checkAgainstHead(_ write: RecordsWrite, _ versions: [Held]) throws(Rejection) {
    guard let accepted else { return }
    if write.timestamp <= accepted.stamp {
      throw Rejection(versions.last.map { $0.write.timestamp > write.timestamp } ?? false ? .olderThanSlot : .notInHead)
    }
    if write.dateCreated <= accepted.stamp, initials[write.recordID] == nil { throw Rejection(.notInHead) }
  }

  private func isAccepted(_ write: RecordsWrite) -> Bool {
    accepted?.set.elements.contains(write.signed.element) ?? false
  }

  /// Notes a delete. Returns `false` when it says nothing new.
  mutating func end(_ record: RecordID, at stamp: WallTime) -> Bool {
    if let known = ended[record], known <= stamp { return false }
    ended[record] = stamp
    if ended.count > Self.endedLimit, let oldest = ended.min(by: { ($0.value, $0.key) < ($1.value, $1.key) }) {
      ended[oldest.key] = nil
    }
    dropEndedBeyondHead()
    return true
  }

  /// Takes over deletes from a store; what they ended is dropped with the next head, whose set it may still belong to.
  mutating func restore(ended stored: [RecordID: WallTime]) {
    ended = stored
  }

  /// Definitions are few; the accepted one, and those that are newer, stay.
  mutating func insert(_ signed: SignedMessage, _ definition: MeshDefinition) throws(Rejection) -> Bool {
    if definitions.contains(where: { $0.signed.element == signed.element }) { return false }
    if let accepted, signed.message.timestamp <= accepted.stamp { throw Rejection(.olderThanSlot) }
    guard !definitions.contains(where: { $0.signed.message.timestamp == signed.message.timestamp }) else {
      throw Rejection(.olderThanSlot)
    }
    let place = definitions.firstIndex { $0.signed.message.timestamp > signed.message.timestamp } ?? definitions.count
    definitions.insert((signed, definition), at: place)
    if definitions.count > Self.versionLimit,
      let oldest = definitions.firstIndex(where: { !(accepted?.set.elements.contains($0.signed.element) ?? false) })
    {
      definitions.remove(at: oldest)
    }
    return true
  }

  // MARK: Live at a time

  /// Everything held that was live at `time`: of each slot the newest, if no delete until then ended it.
  func live(at time: WallTime) -> [Held] {
    slots.compactMap { _, versions in
      guard let held = versions.last(where: { $0.write.timestamp <= time }), LiveSet.covers(held.write.path),
        !isEnded(held.write.contextID, by: time)
      else { return nil }
      return held
    }
  }

  func definition(at time: WallTime) -> (signed: SignedMessage, definition: MeshDefinition)? {
    definitions.last { $0.signed.message.timestamp <= time }
  }

  /// The live set of a head with this time, over everything held or only over the messages that `shown` has.
  func liveSet(at time: WallTime, shown: Set<String>? = nil) -> LiveSet {
    var elements = Set<String>()
    for (_, versions) in slots {
      let held = versions.last { version in
        version.write.timestamp <= time && (shown?.contains(version.write.signed.element) ?? true)
      }
      guard let held, LiveSet.covers(held.write.path), !isEnded(held.write.contextID, by: time) else { continue }
      elements.insert(held.write.signed.element)
    }
    let definition = definitions.last { entry in
      entry.signed.message.timestamp <= time && (shown?.contains(entry.signed.element) ?? true)
    }
    if let definition { elements.insert(definition.signed.element) }
    return LiveSet(elements)
  }

  // MARK: Accepting

  /// Takes over a head's set: what is not newer than the head and not in the set is dropped.
  mutating func accept(_ set: LiveSet, at stamp: WallTime) {
    accepted = (stamp, set)
    for (key, versions) in slots where versions.contains(where: { LiveSet.covers($0.write.path) }) {
      let kept = versions.filter { $0.write.timestamp > stamp || set.elements.contains($0.write.signed.element) }
      if kept.count != versions.count {
        slots[key] = kept.isEmpty ? nil : kept
        forgetInitials(of: Set(versions.map(\.write.recordID)), in: key)
      }
    }
    // An update of a record that the head ended goes with it.
    for (key, versions) in slots {
      guard case .record(let record) = key, let newest = versions.last, newest.write.dateCreated <= stamp,
        !versions.contains(where: { set.elements.contains($0.write.signed.element) })
      else { continue }
      if LiveSet.covers(newest.write.path) {
        slots[key] = nil
        initials[record] = nil
      }
    }
    definitions.removeAll { $0.signed.message.timestamp <= stamp && !set.elements.contains($0.signed.element) }
    dropEndedBeyondHead()
    dropOrphans()
  }

  /// Drops what a seen delete ended, except what the accepted head still covers: its set must stay provable.
  mutating func dropEndedBeyondHead() {
    for (key, versions) in slots {
      let kept = versions.filter { isAccepted($0.write) || !isEnded($0.write.contextID) }
      if kept.count != versions.count {
        slots[key] = kept.isEmpty ? nil : kept
        forgetInitials(of: Set(versions.map(\.write.recordID)), in: key)
      }
    }
  }

  /// Drops what stands below a record that is gone.
  private mutating func dropOrphans() {
    while true {
      let orphans = slots.filter { _, versions in
        guard let parent = versions.last?.write.contextID.parent else { return false }
        return initials[parent.record] == nil
      }
      if orphans.isEmpty { return }
      for (key, versions) in orphans {
        slots[key] = nil
        for version in versions { initials[version.write.recordID] = nil }
      }
    }
  }

  private mutating func forgetInitials(of records: Set<RecordID>, in key: SlotKey) {
    let kept = Set((slots[key] ?? []).map(\.write.recordID))
    for record in records.subtracting(kept) { initials[record] = nil }
  }
}
