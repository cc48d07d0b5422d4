import Cryptography
public import DWN
public import Identity
public import Wire

/// The way of network keys from the anchor to a machine: one record for each recipient and network, encrypted to the key that the
/// recipient's DID gives and to nothing else. Nothing that anybody published can redirect it.
public enum KeyDelivery {
  /// The record that hands these keys over, ready to be signed.
  ///
  /// `earlier` is any earlier delivery to the same recipient, which is then updated. Throws `noKey` for a DID that gives none.
  public static func draft(
    _ keys: ContextKeyRecord, to recipient: DID, updating earlier: RecordsWrite? = nil, random: any RandomSource
  ) throws(MeshError) -> RecordDraft {
    guard let recipientKey = recipient.wireGuardKey else { throw .noKey(recipient) }
    var plaintext = try keys.encoded()
    defer { wipe(&plaintext) }
    let envelope: JWEEnvelope
    let ciphertext: [UInt8]
    do {
      (envelope, ciphertext) = try JWEEnvelope.seal(
        plaintext, to: [EnvelopeRecipient(recipientKey, .didKey)], random: random)
    } catch {
      throw .cannotEncrypt(path: KeyDeliveryProtocol.contextKey, reason: error.description)
    }
    guard let earlier else {
      return RecordDraft(
        protocolURI: KeyDeliveryProtocol.uri, path: KeyDeliveryProtocol.contextKey, recipient: recipient,
        tags: keys.tags,
        encryption: envelope.json, data: ciphertext)
    }
    precondition(earlier.recipient == recipient, "a delivery is updated for the same recipient")
    var draft = RecordDraft(updating: earlier, encryption: envelope.json, data: ciphertext)
    draft.tags = keys.tags
    return draft
  }

  /// The keys in a delivery to `identity` for this network.
  ///
  /// That the anchor signed the record is verified before (`Authority`). Here it must be encrypted to the recipient's DID alone,
  /// and what is in it must name this anchor's root, this network, and in path and tags the same epoch.
  public static func open(
    _ write: RecordsWrite, data: [UInt8], for network: NetworkReference, as identity: MachineIdentity
  ) throws(MeshError) -> ContextKeyRecord {
    let path = KeyDeliveryProtocol.contextKey
    guard write.protocolURI == KeyDeliveryProtocol.uri, write.path == path, write.recipient == identity.did,
      write.tags?[KeyDeliveryProtocol.Tag.contextID]?.string == network.id.text
    else { throw .unreadable(path: path, reason: .elsewhere) }
    guard let encryption = write.encryption else { throw .unreadable(path: path, reason: .inClear) }
    var plaintext: [UInt8]
    do {
      plaintext = try JWEEnvelope(.object(encryption)).open(data, didKey: identity.wireGuardKey)
    } catch {
      throw .unreadable(path: path, reason: .envelope(error))
    }
    defer { wipe(&plaintext) }
    let keys = try ContextKeyRecord(parsing: plaintext)
    guard keys.rootKeyID == network.rootKeyID, keys.network == network.id else {
      throw .malformed(record: RecordSchema.contextKey.recordName, reason: "it names another anchor or another network")
    }
    guard write.tags == keys.tags else {
      throw .malformed(record: RecordSchema.contextKey.recordName, reason: "its tags name another protocol or epoch")
    }
    return keys
  }
}
