import DWN
import Identity
import Wire

/// What a message proves without looking at any other: the checks of `trust.md` section 2 that need no context.
struct RecordChecks: Sendable {
  let network: NetworkReference
  let authority: Authority

  init(_ network: NetworkReference) {
    self.network = network
    self.authority = Authority(network)
  }

  /// A message that holds in itself. Whether it fits what is already known is `HeldRecords`' to say.
  enum Checked {
    case write(CheckedWrite)
    case delete(SignedMessage, RecordID)
    case definition(SignedMessage, MeshDefinition)
    /// The anchor took back a grant.
    case revocation(SignedMessage, of: RecordID)
    /// In order, and of no concern to a reader of this network: a request, an invite, somebody else's key.
    case irrelevant
  }

  /// A write by somebody who signed it, at a path that exists. Without its data it only accompanies another.
  struct CheckedWrite {
    let write: RecordsWrite
    let data: [UInt8]?
    /// That of `write`'s record, when it came along.
    let initial: RecordsWrite?
  }

  func check(_ entry: ReplyEntry) throws(Rejection) -> Checked {
    let signed = try verified(entry.message)
    switch signed.message.kind {
    case .recordsWrite: return try checkWrite(signed, entry)
    case .recordsDelete:
      guard authority.mayEnd(signed.author) else { throw Rejection(.onlyOwnerEnds) }
      guard signed.payload.protocolRole == nil else { throw Rejection(.roleInSignature) }
      guard let record = signed.message.descriptor["recordId"]?.string.flatMap({ RecordID($0) }) else {
        throw Rejection(.notOfTheMesh)
      }
      return .delete(signed, record)
    case .protocolsConfigure: return try checkDefinition(signed)
    default: throw Rejection(.notOfTheMesh)
    }
  }

  /// Sections 2.1 to 2.4: bounds, form, CIDs, signature.
  func verified(_ json: JSONValue) throws(Rejection) -> SignedMessage {
    guard json.isWithin(depth: Message.maximumDepth), json.encoded.count <= Message.maximumSize else {
      throw Rejection(.beyondBounds)
    }
    do {
      let message = try Message(json)
      guard network.envelope == .v1 else {
        return try SignedMessage(checking: message, resolver: OfflineResolver())
      }
      let claimed = try ClaimedMessage(message, admitting: .everyForm)
      guard claimed.owner == nil, claimed.attester == nil,
        claimed.payload.encryptionCID != nil || message.json["encryption"] == nil
      else { throw Rejection(.notOfTheMesh) }
      return try SignedMessage(verifying: claimed, resolver: OfflineResolver())
    } catch let rejection as Rejection {
      throw rejection
    } catch let error as DWNError {
      throw Rejection(.malformed(error))
    } catch {
      throw Rejection(.notOfTheMesh)
    }
  }

  private func checkWrite(_ signed: SignedMessage, _ entry: ReplyEntry) throws(Rejection) -> Checked {
    let write = try self.write(signed)
    if write.protocolURI == PermissionsProtocol.uri, network.envelope == .v1 { return try checkRevocation(write) }
    try GrantUse(signed, authority).check(write)
    if write.protocolURI == KeyDeliveryProtocol.uri, network.envelope == .jwe {
      guard try checkDelivery(write) else { return .irrelevant }
    } else if write.path.isControl, network.envelope == .v1 {
      guard try checkControl(write) else { return .irrelevant }
    } else {
      guard try checkMeshWrite(write) else { return .irrelevant }
    }
    if let data = entry.data {
      guard data.count == write.dataSize, write.matches(data: data) else { throw Rejection(.dataMismatch) }
    }
    let initial =
      write.isInitial ? nil : try entry.initialWrite.map { json throws(Rejection) in try initialWrite(json, of: write) }
    return .write(CheckedWrite(write: write, data: entry.data, initial: initial))
  }

  private func initialWrite(_ json: JSONValue, of update: RecordsWrite) throws(Rejection) -> RecordsWrite {
    let first = try write(verified(json))
    guard first.isInitial, first.recordID == update.recordID, first.author == update.author else {
      throw Rejection(.initialWriteInvalid)
    }
    return first
  }

  private func write(_ signed: SignedMessage) throws(Rejection) -> RecordsWrite {
    do { return try RecordsWrite(signed) } catch { throw Rejection(.malformed(error)) }
  }

  /// Section 2.5 and, for what the owner writes, 2.7. `false`: of no concern to readers.
  private func checkMeshWrite(_ write: RecordsWrite) throws(Rejection) -> Bool {
    guard write.protocolURI == MeshProtocol.uri, let schema = MeshProtocol.schema(of: write.path) else {
      throw Rejection(.notOfTheMesh)
    }
    let writer = Authority.writer(of: write.path)
    guard writer != .nobody, write.path != MeshProtocol.preAuthKey else { return false }
    guard write.schema == schema else { throw Rejection(.wrongSchema) }
    guard write.dataFormat == "application/json" else { throw Rejection(.wrongFormat) }
    guard !write.published else { throw Rejection(.published) }
    // The mesh hangs nothing below records of other protocols.
    guard write.contextID.root == network.id.recordID, write.contextID.depth == write.path.depth else {
      throw Rejection(.wrongPlace)
    }
    if writer == .owner {
      guard authority.mayWrite(write.author, path: write.path, parentRecipient: nil) else {
        throw Rejection(.notTheAuthor(.owner))
      }
      guard write.signed.payload.protocolRole == nil else { throw Rejection(.roleInSignature) }
    }
    return true
  }

  /// `false`: a key for somebody else, or of another network.
  private func checkDelivery(_ write: RecordsWrite) throws(Rejection) -> Bool {
    guard write.path == KeyDeliveryProtocol.contextKey else { throw Rejection(.notOfTheMesh) }
    guard authority.mayDeliverKeys(write.author) else { throw Rejection(.onlyOwnerDelivers) }
    guard write.schema == nil else { throw Rejection(.wrongSchema) }
    guard write.dataFormat == "application/json" else { throw Rejection(.wrongFormat) }
    guard !write.published else { throw Rejection(.published) }
    guard write.signed.payload.protocolRole == nil else { throw Rejection(.roleInSignature) }
    guard write.encryption != nil else { throw Rejection(.keyInClear) }
    return write.tags?[KeyDeliveryProtocol.Tag.contextID]?.string == network.id.text
  }

  /// Audience records and deliveries of encryption v1. `false`: of another network.
  private func checkControl(_ write: RecordsWrite) throws(Rejection) -> Bool {
    let isAudience = write.path == EncryptionControl.audience
    guard isAudience || write.path == EncryptionControl.delivery, write.protocolURI == MeshProtocol.uri else {
      throw Rejection(.notOfTheMesh)
    }
    guard authority.mayDeliverKeys(write.author) else { throw Rejection(.onlyOwnerDelivers) }
    guard write.schema == (isAudience ? EncryptionControl.audienceSchema : EncryptionControl.deliverySchema) else {
      throw Rejection(.wrongSchema)
    }
    guard write.dataFormat == "application/json" else { throw Rejection(.wrongFormat) }
    guard !write.published else { throw Rejection(.published) }
    guard write.signed.payload.protocolRole == nil else { throw Rejection(.roleInSignature) }
    guard write.isInitial else { throw Rejection(.controlRecordUpdated) }
    guard isAudience == (write.encryption == nil) else {
      throw isAudience ? Rejection(.audienceEncrypted) : Rejection(.keyInClear)
    }
    return EncryptionControl.audience(of: write)?.name.isAudience(of: network.id) ?? false
  }

  /// By it what a delegate signs later counts no more (`trust.md` section 8).
  private func checkRevocation(_ write: RecordsWrite) throws(Rejection) -> Checked {
    guard write.path == PermissionsProtocol.revocation, let grant = write.parentID else { return .irrelevant }
    guard authority.isOwner(write.author), write.signed.authorGrant == nil else { throw Rejection(.onlyOwnerEnds) }
    return .revocation(write.signed, of: grant)
  }

  private func checkDefinition(_ signed: SignedMessage) throws(Rejection) -> Checked {
    guard authority.mayConfigure(signed.author) else { throw Rejection(.onlyOwnerConfigures) }
    try GrantUse(signed, authority).checkConfigure()
    guard signed.payload.protocolRole == nil else { throw Rejection(.roleInSignature) }
    let json = signed.message.descriptor["definition"]
    switch json?["protocol"]?.string {
    case MeshProtocol.uri:
      guard json?["published"]?.bool == true else {
        throw Rejection(.definitionUnusable("the mesh definition must be published"))
      }
      do {
        return .definition(signed, try MeshDefinition(signed))
      } catch {
        throw Rejection(.definitionUnusable(error.description))
      }
    default:
      // Keys are taken from deliveries by who signed them; the definition under which they are stored steers nothing.
      return .irrelevant
    }
  }
}

extension RecordsWrite {
  /// Whether it brings this device, or takes from it, what it reads and writes with.
  var carriesMeshKeys: Bool { protocolURI == KeyDeliveryProtocol.uri || path.isControl }

  /// Whether it hands a private key to its recipient.
  var deliversMeshKeys: Bool {
    protocolURI == KeyDeliveryProtocol.uri || path == EncryptionControl.delivery
  }
}

/// A refusal on its way to the log.
struct Rejection: Error {
  let reason: RefusalReason

  init(_ reason: RefusalReason) {
    self.reason = reason
  }
}

extension JSONValue {
  /// Whether no more than `depth` arrays and objects stand inside each other.
  func isWithin(depth: Int) -> Bool {
    switch self {
    case .array(let elements): depth > 0 && elements.allSatisfy { $0.isWithin(depth: depth - 1) }
    case .object(let object): depth > 0 && object.members.allSatisfy { $0.value.isWithin(depth: depth - 1) }
    default: true
    }
  }
}
