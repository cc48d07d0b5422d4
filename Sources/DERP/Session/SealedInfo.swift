import Cryptography
import Wire

/// What the sides of a relay connection say of themselves, each as JSON in a box for the other (`derp.md`, 5).
enum SealedInfo {
  static let server: JSONValue = ["version": .integer(DERPFrame.protocolVersion)]

  /// SHA-256 of the leaf certificate that the relay showed to the client, as hexadecimal digits. Relays of others know no such member
  /// and pass over it.
  ///
  /// A box holds nothing else of the connection that it was made for. Whoever gets one for the key of another relay, by showing that
  /// key as its own, could log in there with it as the client, and for ever.
  static let certificateMember = "meshdRelayCertSHA256"

  /// A client's: that it answers pings, and whom it takes the relay for.
  static func client(certificate: Bytes32?) -> JSONValue {
    var info: JSONObject = ["version": .integer(DERPFrame.protocolVersion), "CanAckPings": true]
    info[certificateMember] = certificate.map { .string(Hex.encode($0.array)) }
    return .object(info)
  }

  static func seal(_ info: JSONValue, in box: NaClBox, random: some RandomSource) -> [UInt8] {
    let nonce = random.bytes(NaClBox.nonceLength)
    return nonce + box.seal(info.encoded, nonce: nonce)
  }

  /// Throws `badInfo`, `unsupportedVersion`.
  @discardableResult
  static func open(_ sealed: [UInt8], in box: NaClBox) throws(DERPError) -> JSONValue {
    guard let text = box.open(sealed.dropFirst(NaClBox.nonceLength), nonce: sealed.prefix(NaClBox.nonceLength)),
      let info = try? JSONValue(parsing: text, depth: 8), let version = info["version"]?.integer
    else { throw .badInfo }
    guard version == DERPFrame.protocolVersion else { throw .unsupportedVersion(version) }
    return info
  }

  /// Whether a client names the certificate of this relay. Throws `meantForAnotherRelay` if it names another.
  static func names(_ certificate: Bytes32?, in info: JSONValue) throws(DERPError) -> Bool {
    guard let named = info[certificateMember] else { return false }
    guard let certificate, named.string == Hex.encode(certificate.array) else { throw .meantForAnotherRelay }
    return true
  }
}
