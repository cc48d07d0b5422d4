import DWN
import Identity
import Wire

/// Records of the anchor that whoever comes later could not read: they are written anew, with the keys that are handed out now.
extension Ledger {
  /// Writes the own records of a network with heads anew whose epoch is not among the newest eight (`trust.md` section 7), in the epoch
  /// that is current. `epoch`: one that is about to begin, and counts.
  mutating func writeOldAnew(
    in network: NetworkID, before epoch: KeyEpoch? = nil, now: WallTime, random: any RandomSource,
    to change: inout LedgerChange
  ) throws(LedgerError) {
    let owned = try requireOwned(network)
    let epochs = owned.epochs.union([epoch].compactMap { $0 })
    guard owned.envelope == .jwe, epochs.count > JWERecordCipher.recentEpochs else { return }
    let old = owned.newestWrites.filter { held in
      JWERecordCipher.epoch(of: held.write).map { !JWERecordCipher.isRecent($0, among: epochs) } ?? false
    }
    try writeAnew(old, in: network, now: now, random: random, to: &change)
  }

  /// Encrypts these records once more, as they would be written now.
  mutating func writeAnew(
    _ old: [HeldRecords.Held], in network: NetworkID, now: WallTime, random: any RandomSource,
    to change: inout LedgerChange
  ) throws(LedgerError) {
    guard let cipher = try requireOwned(network).cipher else { throw .noKey }
    for held in old {
      let sealed: SealedData
      do throws(MeshError) {
        sealed = try cipher.seal(try cipher.open(held.write, data: held.data), at: held.write.path, random: random)
      } catch {
        throw .mesh(error)
      }
      try write(
        Self.draft(of: held.write, sealed), tenant: identity.did, network: network, now: now, to: &change)
    }
    log.reduce(longReplaced(in: Set(old.map { SlotKey($0.write) })), in: &change)
  }

  /// What stood in these places before what was replaced last, which `withdraw` goes back to; the initial writes that updates need stay.
  /// Of what the own machine said of itself, which nobody takes back, the last alone is kept.
  private func longReplaced(in slots: Set<SlotKey>) -> Set<String> {
    var found: [SlotKey: Int] = [:]
    var replaced: Set<String> = []
    for message in log.messages.reversed() {
      guard let write = message.write, case let slot = SlotKey(write), slots.contains(slot) else { continue }
      let kept = Authority.writer(of: write.path) == .recipientOfParent ? 1 : 2
      found[slot, default: 0] += 1
      if case .record = slot, write.isInitial { continue }
      if found[slot, default: 0] > kept { replaced.insert(message.element) }
    }
    return replaced
  }

  /// Where records take each other's place, each is one of its own, and no node needs the one before it.
  private static func draft(of write: RecordsWrite, _ sealed: SealedData) -> RecordDraft {
    guard case .place = SlotKey(write) else {
      return RecordDraft(updating: write, encryption: sealed.encryption, data: sealed.data)
    }
    return RecordDraft(
      protocolURI: write.protocolURI, path: write.path, parent: write.contextID.parent, schema: write.schema,
      recipient: write.recipient, tags: write.tags, squash: true, encryption: sealed.encryption, data: sealed.data)
  }
}
