public import DWN
import Identity
public import Wire

/// What a node's answer to a published message means (`trust.md` section 1, "Done is …").
public enum DeliveryVerdict: Hashable, Sendable {
  /// The node has it.
  case done
  /// Try the same bytes again later, as transport failures are: the node is busy, or does not serve the tenant now.
  case again(detail: String)
  /// The node has something else in this place: read what it shows there and ask `ConflictVerdict`.
  case compare(detail: String)
  /// The node lacks what the message builds upon, as a node does that lost its data: publish everything again, in order.
  case lacksBasis(detail: String)
  /// It will never be taken there.
  case refused(status: Int, detail: String)

  /// `hasEnded`: the writer's own ledger has a delete for the message's record, or for one above it.
  public init(_ reply: Reply, to message: AuthoredMessage, hasEnded: Bool) {
    let code = reply.status.code
    let detail = String(reply.status.detail.prefix(512))
    let isDelete = message.endedRecord != nil
    switch code {
    case 200..<300: self = .done
    case 404 where isDelete: self = .done
    case 409: self = .compare(detail: detail)
    case 400 where detail.hasPrefix("RecordsWriteNotAllowedAfterDelete"):
      self = hasEnded ? .done : .compare(detail: detail)
    case 400 where Self.basis.contains { detail.hasPrefix($0) }:
      // The record above is gone because this ledger ended it.
      self = hasEnded ? .done : .lacksBasis(detail: detail)
    case 400, 413: self = .refused(status: code, detail: detail)
    default: self = .again(detail: "\(code) \(detail)")
    }
  }

  private static let basis = [
    "ProtocolAuthorizationProtocolNotFound", "ProtocolAuthorizationParentRecordNotFound",
    "ProtocolAuthorizationParentNotFoundConstructingRecordChain", "RecordsWriteGetInitialWriteNotFound",
    "ProtocolAuthorizationEncryptionRoleAudienceMissing", "EncryptionControlValidateDeliveryAudienceMissing",
    "EncryptionControlValidateDeliveryRecipientRoleRecordMissing",
  ]
}

/// What the record that a node shows in a message's place means for the message.
public enum ConflictVerdict: Hashable, Sendable {
  /// It is the message itself, or a newer one that the writer holds.
  case done
  /// It is this writer's own and not in its ledger: a member writes anew, stamped above it. (An anchor stops: `Ledger.audit`.)
  case writeAnew(above: WallTime)
  /// Nothing that was signed by the writer explains the conflict.
  case unexplained

  /// `shown`: what the node shows in the place: the record by id, or what a query by path and parent gives. Its signature is
  /// checked here.
  public init(_ message: AuthoredMessage, shown: [ReplyEntry], ledger: Ledger) {
    let author = message.signed.author
    var newest: WallTime?
    for entry in shown {
      guard let text = try? Message(entry.message),
        let signed = try? SignedMessage(checking: text, resolver: OfflineResolver()),
        signed.author == author
      else { continue }
      if signed.element == message.element
        || (ledger.holds(signed.element) && signed.message.timestamp >= message.stamp)
      {
        self = .done
        return
      }
      if !ledger.holds(signed.element) { newest = max(newest ?? signed.message.timestamp, signed.message.timestamp) }
    }
    self = newest.map { .writeAnew(above: $0) } ?? .unexplained
  }
}
