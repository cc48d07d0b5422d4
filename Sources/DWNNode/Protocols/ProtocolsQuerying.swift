import DWN
import Identity
import Wire

/// A ProtocolsQuery with its parts as types. Throws status 400.
struct ProtocolsQueryRequest: Sendable {
  let protocolURI: String?
  let requester: DID?

  init(_ message: Message, _ signed: SignedMessage?) throws(DWNError) {
    requester = signed?.author
    guard let filter = message.descriptor["filter"] else {
      protocolURI = nil
      return
    }
    guard let members = filter.object, !members.isEmpty,
      members.members.allSatisfy({ ($0.name == "protocol" || $0.name == "recipient") && $0.value.string != nil })
    else { throw DWNError(400, "SchemaValidatorFailure", "the filter of a ProtocolsQuery names a protocol") }
    protocolURI = members["protocol"]?.string
    if let protocolURI, !URI.isNormalized(protocolURI) {
      throw DWNError(400, "UrlProtocolNotNormalized", "filter.protocol is not a normalized URL")
    }
  }
}

/// Answers a ProtocolsQuery: strangers see the published definitions.
struct ProtocolsQuerying {
  let tenant: DID
  let transaction: any MessageReader

  func reply(to request: ProtocolsQueryRequest) throws -> Reply {
    let found = try transaction.configures(of: request.protocolURI, onlyPublished: request.requester != tenant)
    return Reply(.init(200, "OK"), members: ["entries": .array(try found.map { try $0.message() })])
  }
}
