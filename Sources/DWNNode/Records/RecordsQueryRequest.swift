import DWN
import Identity
import Wire

/// What a RecordsQuery, RecordsCount or RecordsSubscribe asks for. Throws status 400, and 401 when only unpublished records could
/// be meant and nobody signed.
struct RecordsQueryRequest: Sendable {
  let filter: RecordsFilter
  let sort: DateSort
  let limit: Int?
  let cursor: Pagination.Cursor?
  /// A grant that is invoked.
  let grantID: RecordID?
  let role: String?
  let time: WallTime
  /// What the filter's context is not too deep for; `nil` for a subscription that begins with so many records and no more.
  let nestedMethod: String?
  /// Once its signatures have been verified; `nil` when nobody signed.
  var signed: SignedMessage?

  var requester: DID? { signed?.author }

  init(_ message: Message, _ claimed: ClaimedMessage?) throws(DWNError) {
    var page: Pagination?
    switch message.body {
    case .recordsQuery(let query):
      (filter, sort, page) = (query.filter, query.sort ?? .createdAscending, query.pagination)
    case .recordsSubscribe(let query):
      (filter, sort, page) = (query.filter, query.sort ?? .createdAscending, query.pagination)
    case .recordsCount(let query): (filter, sort) = (query.filter, .createdAscending)
    default: throw DWNError(400, "SchemaValidatorFailure", "no query for records")
    }
    limit = page?.limit
    cursor = page?.cursor
    grantID = message.body.permissionGrantID
    role = claimed?.payload.protocolRole
    time = message.timestamp
    nestedMethod = message.kind == .recordsSubscribe && limit != nil ? nil : message.kind.rawValue
    guard cursor == nil || cursor?.value.string != nil else {
      throw DWNError(400, "SchemaValidatorFailure", "pagination.cursor is one that a reply gave")
    }
    if role != nil, filter.path == nil {
      throw DWNError(
        400, message.kind.rawValue + "FilterMissingRequiredProperties", "with a role, the filter names a protocolPath")
    }
    guard claimed != nil || filter.published != false else {
      throw DWNError(401, "AuthenticateJwsMissing", "unpublished records are shown to those who sign")
    }
  }
}
