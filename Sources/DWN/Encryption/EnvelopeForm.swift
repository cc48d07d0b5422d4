import Wire

/// What an envelope shows without being opened: one of version 1 its form (dwn-messages 10.1), one of another form that somebody can open it.
enum EnvelopeForm {
  /// Throws status 400.
  static func check(_ encryption: JSONObject) throws(DWNError) {
    guard V1Envelope.claims(encryption) else {
      guard encryption["recipients"]?.array?.isEmpty == false else {
        throw .schema("encryption has neither keyEncryption nor recipients: nobody could open it")
      }
      return
    }
    let entries = encryption["keyEncryption"]?.array ?? []
    // As it was before version 1: stored as it comes.
    if entries.contains(where: { $0["rootKeyId"] != nil }) { return }
    try checkValues(of: encryption, entries)
    do { _ = try V1Envelope(.object(encryption)) } catch { throw .schema(error.description) }
  }

  /// What has a code of its own.
  private static func checkValues(of encryption: JSONObject, _ entries: [JSONValue]) throws(DWNError) {
    guard encryption["algorithm"]?.string == V1Envelope.algorithm else { return }
    guard encryption["initializationVector"]?.string.flatMap({ Base64.decode($0) })?.count == 16 else {
      throw DWNError(
        400, "RecordsWriteValidateIntegrityEncryptionInitializationVectorInvalid",
        "initializationVector must be 16 bytes in base64url without padding")
    }
    for entry in entries {
      let key = entry["ephemeralPublicKey"]
      guard key?["kty"]?.string == "OKP", key?["crv"]?.string == "X25519" else {
        throw DWNError(
          400, "RecordsWriteValidateIntegrityEncryptionEphemeralPublicKeyInvalid",
          "an ephemeralPublicKey must be a key of X25519")
      }
    }
  }
}
