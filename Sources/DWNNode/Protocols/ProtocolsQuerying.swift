import DWN
import Identity
import Wire

/// Answers a ProtocolsQuery: strangers see the published definitions (dwn-server 7.3).
struct ProtocolsQuerying {
  let tenant: DID
  let transaction: any MessageReader
  let limits: NodeLimits

  /// Definitions that are fetched from the store at a time.
  private static let fetchSize = 50

  /// `signed` is the request's own message; `nil` when nobody signed it. Throws status 400 where one reply does not hold all of it:
  /// there is no cursor.
  func reply(to request: ProtocolsQuery, _ signed: SignedMessage?) throws -> Reply {
    var page = DefinitionPage(
      protocolURI: request.protocolURI, onlyPublished: try !seesAll(request, signed), limit: Self.fetchSize)
    var found: [StoredMessage] = []
    var size = 0
    while true {
      let next = try transaction.configures(page)
      size += next.reduce(0) { $0 + $1.json.utf8.count }
      guard size <= limits.largestReply || found.count + next.count <= 1 else {
        throw DWNError(
          400, "ProtocolsQueryReplyTooLarge",
          "the definitions together have more than \(limits.largestReply >> 20) MiB: ask for one protocol")
      }
      found += next
      guard next.count == page.limit, let last = next.last else { break }
      page.after = last.protocolURI
    }
    return Reply(.init(200, "OK"), members: ["entries": .array(try found.map { try $0.message() })])
  }

  /// Throws status 401 for a grant that does not cover the request.
  private func seesAll(_ request: ProtocolsQuery, _ signed: SignedMessage?) throws -> Bool {
    guard let signed else { return false }
    let grants = GrantRules(tenant: tenant, reader: transaction)
    try grants.carried(by: signed)?.checkProtocolsQuery(of: request.protocolURI)
    if signed.isTenants(tenant, in: transaction) { return true }
    guard let id = request.permissionGrantID else { return false }
    try grants.invoked(id, for: signed).checkProtocolsQuery(of: request.protocolURI)
    return true
  }
}
