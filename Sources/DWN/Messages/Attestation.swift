import Identity
import Wire

/// The signature of a third party under a write (dwn-messages 4.5).
enum Attestation {
  /// Throws status 400 unless it is one signature over this descriptor, and one that the author signed for.
  static func read(
    _ message: Message, _ payload: SignaturePayload, _ admission: ClaimedMessage.Admission
  ) throws(DWNError) -> (GeneralJWS?, DID?) {
    guard let json = message.json["attestation"] else {
      guard payload.attestationCID == nil else { throw mismatch }
      return (nil, nil)
    }
    guard admission == .everyForm else { throw .additional("the message has an unknown member \"attestation\"") }
    let jws: GeneralJWS
    do { jws = try GeneralJWS(json) } catch { throw .schema(error.description) }
    guard jws.signatures.count == 1 else {
      throw refused("MoreThanOneSignature", "an attestation has exactly one signature")
    }
    guard let object = (try? JSONValue(parsing: jws.payloadBytes, depth: 4))?.object else {
      throw DWNError(400, "JwsDecodePlainObjectPayloadInvalid", "the attestation's payload is not a JSON object")
    }
    guard object["descriptorCid"]?.string == message.descriptorCID.text else {
      throw refused("DescriptorCidMismatch", "the attested descriptorCid is not that of the descriptor")
    }
    guard object.count == 1 else { throw refused("InvalidPayloadProperty", "an attestation attests a descriptor only") }
    guard payload.attestationCID == CID(of: json).text else { throw mismatch }
    let (_, attester) = try ClaimedMessage.soleSignature(json)
    return (jws, attester)
  }

  private static let mismatch = DWNError(
    400, "RecordsWriteValidateIntegrityAttestationMismatch",
    "attestationCid in the signed payload is not that of the attestation, or one is there without the other")

  private static func refused(_ code: String, _ text: String) -> DWNError {
    DWNError(400, "RecordsWriteAttestationIntegrity" + code, text)
  }
}
