import DWN
import Identity
import Wire

/// Everything this device signed, in order. It gives out stamps that rise strictly across all of it (`trust.md` section 1).
struct AuthorLog: Sendable {
  /// Complete messages, by rising order.
  private(set) var messages: [AuthoredMessage] = []
  /// Of everything ever signed.
  private(set) var elements: Set<String> = []
  private(set) var lastStamp: WallTime?
  private var nextOrder: Int64 = 1
  let signer: MessageSigner

  init(_ identity: MachineIdentity) {
    signer = MessageSigner(identity)
  }

  init(_ identity: MachineIdentity, stored: [StoredAuthored]) throws(LedgerError) {
    self.init(identity)
    for entry in stored {
      guard entry.order >= nextOrder, elements.insert(entry.element).inserted else {
        throw .corrupt(reason: "its entries are not in order")
      }
      nextOrder = entry.order + 1
      lastStamp = max(entry.stamp, lastStamp ?? entry.stamp)
      guard let message = entry.message else { continue }
      messages.append(try Self.message(entry, message, of: identity))
    }
  }

  private static func message(
    _ entry: StoredAuthored, _ stored: StoredMessage, of identity: MachineIdentity
  ) throws(LedgerError) -> AuthoredMessage {
    do {
      let signed = try SignedMessage(checking: try Message(parsing: stored.json), resolver: OfflineResolver())
      guard signed.element == entry.element, signed.author == identity.did else {
        throw LedgerError.corrupt(reason: "an entry is not what this identity signed")
      }
      let write = signed.message.kind == .recordsWrite ? try RecordsWrite(signed) : nil
      return AuthoredMessage(
        order: entry.order, tenant: try tenant(of: signed, write, identity), network: entry.network, signed: signed,
        data: stored.data, write: write)
    } catch let error as LedgerError {
      throw error
    } catch {
      throw .corrupt(reason: "\(error)")
    }
  }

  /// A member's own records are addressed to the anchor, whose tenant holds them; all else is of the own tenant.
  private static func tenant(
    of signed: SignedMessage, _ write: RecordsWrite?, _ identity: MachineIdentity
  ) throws(LedgerError) -> DID {
    guard let write, Authority.writer(of: write.path) == .recipientOfParent else { return identity.did }
    guard let anchor = write.recipient else { throw .corrupt(reason: "a record of this machine names no anchor") }
    return anchor
  }

  /// The time of the next message: later than every one before.
  func stamp(now: WallTime, above shown: WallTime? = nil) -> WallTime {
    let floor = [lastStamp, shown].compactMap { $0 }.max()
    return floor.map { max(now, $0 + .microseconds(1)) } ?? now
  }

  mutating func add(
    _ signed: SignedMessage, write: RecordsWrite?, data: [UInt8]?, tenant: DID, network: NetworkID?,
    to change: inout LedgerChange
  ) {
    let message = AuthoredMessage(
      order: nextOrder, tenant: tenant, network: network, signed: signed, data: data, write: write)
    nextOrder += 1
    lastStamp = max(message.stamp, lastStamp ?? message.stamp)
    elements.insert(message.element)
    messages.append(message)
    change.messages.append(message)
    change.store.authored.append(
      StoredAuthored(
        order: message.order, element: message.element, stamp: message.stamp, network: network,
        message: StoredMessage(signed, data: data)))
  }

  /// Keeps of these messages only that they were signed.
  mutating func reduce(_ gone: Set<String>, in change: inout LedgerChange) {
    guard !gone.isEmpty else { return }
    for message in messages where gone.contains(message.element) {
      change.store.authored.removeAll { $0.element == message.element }
      change.store.authored.append(
        StoredAuthored(
          order: message.order, element: message.element, stamp: message.stamp, network: message.network, message: nil))
    }
    messages.removeAll { gone.contains($0.element) }
  }
}
