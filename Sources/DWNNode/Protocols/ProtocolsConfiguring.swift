import DWN
import Identity
import Wire

/// Installs a protocol at its tenant. The newest definition is the one that is shown; earlier ones stay, since they govern the
/// messages of their time (dwn-server 6.1, 7.2).
struct ProtocolsConfiguring {
  let tenant: DID
  let transaction: any MessageTransaction
  let definitions: DefinitionCache

  func reply(to signed: SignedMessage, definition: ProtocolDefinition, json: String) throws -> Reply {
    let admission = try admission(of: signed, definition)
    guard try transaction.configure(element: signed.element) == nil else { return .refused(409, "Conflict") }
    for (alias, uri) in definition.uses.sorted(by: { $0.key < $1.key }) where try !isInstalled(uri) {
      throw DWNError(
        400, "ProtocolsConfigureComposedProtocolNotInstalled",
        "\(uri), which the definition calls \(alias), is not here")
    }
    var message = StoredMessage(
      kind: .configure, cid: signed.message.cid.text, element: signed.element, author: signed.author,
      timestamp: signed.message.timestamp, json: json, protocolURI: definition.uri,
      isPublishedDefinition: definition.isPublished, isLatest: true)
    message.queryRules = QueryRules(inForce: definition)
    message.note(admission)
    if let earlier = try transaction.configure(of: definition.uri) {
      message.isLatest = message.isNewer(than: earlier)
      if message.isLatest {
        try checkEncryption(definition, after: definitions.definition(of: earlier))
        try transaction.demote(earlier)
      }
    }
    try transaction.insert(message, data: nil)
    return .accepted
  }

  /// Records of one type are all encrypted or all in clear, as long as there are any: who wants it otherwise takes another URI.
  private func checkEncryption(_ definition: ProtocolDefinition, after earlier: ProtocolDefinition) throws {
    func isRequired(_ name: String, in definition: ProtocolDefinition) -> Bool {
      definition.types[name]?.encryptionRequired ?? false
    }
    for path in definition.ruleSets.lazy.filter({ $0.reference == nil }).map(\.path) {
      let isNowRequired = isRequired(path.typeName, in: definition)
      guard isNowRequired != isRequired(path.typeName, in: earlier),
        try transaction.hasWrite(at: path, of: definition.uri, isEncrypted: !isNowRequired)
      else { continue }
      throw DWNError(
        400, "ProtocolsConfigureEncryptionPolicyImmutable",
        "there are records at \(path) that are \(isNowRequired ? "in clear" : "encrypted")")
    }
  }

  private func isInstalled(_ uri: String) throws -> Bool {
    try DefinitionCache.isBuiltIn(uri) || transaction.configure(of: uri) != nil
  }

  /// The tenant, and whoever has a grant for it.
  private func admission(of signed: SignedMessage, _ definition: ProtocolDefinition) throws -> Admission {
    let grants = GrantRules(tenant: tenant, reader: transaction)
    let carried = try grants.carried(by: signed)
    try carried?.checkConfigure(of: definition.uri)
    if signed.isTenants(tenant, in: transaction) { return Admission(share: .tenant, grantID: carried?.id) }
    guard let id = signed.message.body.permissionGrantID else {
      throw DWNError(
        401, "ProtocolsConfigureAuthorizationFailed", "only the tenant installs protocols, and who has a grant for it")
    }
    try grants.check(id, for: signed, of: definition.uri) { try $0.checkConfigure(of: definition.uri) }
    return Admission(share: .member, grantID: id)
  }
}
