import DWN
import Wire

/// A message that is what it says it is.
struct CheckedMessage {
  let message: Message
  /// Its JSON, in bytes.
  let encoded: [UInt8]
  /// With signatures that are still to be verified; `nil` when nobody signed it.
  let claimed: ClaimedMessage?

  /// Throws the refusal of a message that has another form, or is too long.
  init(_ json: JSONValue) throws(DWNError) {
    message = try Message(json)
    encoded = message.value.encoded
    guard encoded.count <= Message.maximumSize else {
      throw DWNError(
        400, "SchemaValidatorFailure", "a message without its data has at most \(Message.maximumSize) bytes")
    }
    claimed = message.json.contains("authorization") ? try ClaimedMessage(message, admitting: .everyForm) : nil
  }

  /// For a kind of message that somebody has to sign.
  func signable() throws(DWNError) -> ClaimedMessage {
    guard let claimed else { throw DWNError(401, "AuthenticateJwsMissing", "the message is not signed") }
    return claimed
  }
}
