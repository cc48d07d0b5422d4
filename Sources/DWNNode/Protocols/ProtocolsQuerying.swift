import DWN
import Identity
import Wire

/// Answers a ProtocolsQuery: strangers see the published definitions (dwn-server 7.3).
struct ProtocolsQuerying {
  let tenant: DID
  let transaction: any MessageReader

  /// `signed` is the request's own message; `nil` when nobody signed it.
  func reply(to request: ProtocolsQuery, _ signed: SignedMessage?) throws -> Reply {
    let found = try transaction.configures(of: request.protocolURI, onlyPublished: !seesAll(request, signed))
    return Reply(.init(200, "OK"), members: ["entries": .array(try found.map { try $0.message() })])
  }

  /// Throws status 401 for a grant that does not cover the request.
  private func seesAll(_ request: ProtocolsQuery, _ signed: SignedMessage?) throws -> Bool {
    guard let signed else { return false }
    let grants = GrantRules(tenant: tenant, reader: transaction)
    try grants.carried(by: signed)?.checkProtocolsQuery(of: request.protocolURI)
    if signed.author == tenant { return true }
    guard let id = request.permissionGrantID else { return false }
    try grants.invoked(id, for: signed).checkProtocolsQuery(of: request.protocolURI)
    return true
  }
}
