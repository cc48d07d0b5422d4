import Wire

/// What an envelope of version 1 shows without being opened (dwn-messages 10.1). Other forms pass.
enum EnvelopeForm {
  /// Throws status 400.
  static func check(_ encryption: JSONObject) throws(DWNError) {
    guard encryption["algorithm"]?.string == V1Envelope.algorithm, let entries = encryption["keyEncryption"]?.array,
      !entries.contains(where: { $0["rootKeyId"] != nil })
    else { return }
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
