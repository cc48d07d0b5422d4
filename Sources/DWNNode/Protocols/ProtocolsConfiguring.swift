import DWN
import Identity
import Wire

/// Installs a protocol at its tenant. Only the newest definition of a protocol is kept (dwn-server 7.2).
struct ProtocolsConfiguring {
  let tenant: DID
  let transaction: any MessageTransaction

  func outcome(of signed: SignedMessage, definition: ProtocolDefinition, json: String) throws -> Outcome {
    guard signed.author == tenant else {
      throw DWNError(401, "ProtocolsConfigureAuthorizationFailed", "only the tenant installs protocols")
    }
    let message = StoredMessage(
      kind: .configure, cid: signed.message.cid.text, element: signed.element, author: signed.author,
      timestamp: signed.message.timestamp, json: json, protocolURI: definition.uri,
      isPublishedDefinition: definition.isPublished, isLatest: true)
    if let earlier = try transaction.configure(of: definition.uri) {
      if earlier.cid == message.cid || earlier.element == message.element { return .refused(409, "Conflict") }
      // An older definition governs nothing any more, and its sender has nothing left to do.
      guard message.isNewer(than: earlier) else { return .accepted([]) }
      try transaction.remove(earlier)
    }
    try transaction.insert(message, data: nil)
    return .accepted([message.hint])
  }
}
