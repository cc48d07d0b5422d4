import Cryptography
import Wire

/// What the sides of a relay connection say of themselves, each as JSON in a box for the other (`derp.md`, 5).
enum SealedInfo {
  /// A client's: that it answers pings.
  static let client: JSONValue = ["version": .integer(DERPFrame.protocolVersion), "CanAckPings": true]
  static let server: JSONValue = ["version": .integer(DERPFrame.protocolVersion)]

  static func seal(_ info: JSONValue, in box: NaClBox, random: some RandomSource) -> [UInt8] {
    let nonce = random.bytes(NaClBox.nonceLength)
    return nonce + box.seal(info.encoded, nonce: nonce)
  }

  /// The version that the other side speaks. Throws `badInfo`, `unsupportedVersion`.
  @discardableResult
  static func open(_ sealed: [UInt8], in box: NaClBox) throws(DERPError) -> JSONValue {
    guard let text = box.open(sealed.dropFirst(NaClBox.nonceLength), nonce: sealed.prefix(NaClBox.nonceLength)),
      let info = try? JSONValue(parsing: text, depth: 8), let version = info["version"]?.integer
    else { throw .badInfo }
    guard version == DERPFrame.protocolVersion else { throw .unsupportedVersion(version) }
    return info
  }
}
