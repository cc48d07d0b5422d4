public import Wire

/// DAG-CBOR of a JSON value: what every hash of a message is taken over. Nothing is transported as CBOR, so there is no decoder.
///
/// Maps are sorted by the byte length of their keys, then bytewise; integers take their shortest form and other numbers always
/// 64 bits (IPLD DAG-CBOR, RFC 8949 section 4.2).
public enum DAGCBOR {
  public static func encode(_ value: JSONValue) -> [UInt8] {
    var bytes: [UInt8] = []
    append(value, to: &bytes)
    return bytes
  }

  /// Of an object of which one member has been encoded already.
  static func encode(_ object: JSONObject, with encoded: (name: String, value: [UInt8])) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(2 * encoded.value.count)
    append(object, with: encoded, to: &bytes)
    return bytes
  }

  private static func append(_ value: JSONValue, to bytes: inout [UInt8]) {
    switch value {
    case .null: bytes.append(0xf6)
    case .bool(let value): bytes.append(value ? 0xf5 : 0xf4)
    case .integer(let value):
      if value >= 0 {
        appendHead(0, UInt64(value), to: &bytes)
      } else {
        appendHead(1, UInt64(-1 - value), to: &bytes)
      }
    case .number(let value):
      bytes.append(0xfb)
      withUnsafeBytes(of: value.bitPattern.bigEndian) { bytes.append(contentsOf: $0) }
    case .string(let value):
      append(text: value, to: &bytes)
    case .array(let elements):
      appendHead(4, UInt64(elements.count), to: &bytes)
      for element in elements { append(element, to: &bytes) }
    case .object(let object): append(object, with: nil, to: &bytes)
    }
  }

  private static func append(
    _ object: JSONObject, with encoded: (name: String, value: [UInt8])?, to bytes: inout [UInt8]
  ) {
    appendHead(5, UInt64(object.count), to: &bytes)
    let members = object.members.sorted { a, b in
      let (a, b) = (a.name.utf8, b.name.utf8)
      return a.count == b.count ? a.lexicographicallyPrecedes(b) : a.count < b.count
    }
    for member in members {
      append(text: member.name, to: &bytes)
      if let encoded, encoded.name == member.name {
        bytes += encoded.value
      } else {
        append(member.value, to: &bytes)
      }
    }
  }

  private static func append(text: String, to bytes: inout [UInt8]) {
    appendHead(3, UInt64(text.utf8.count), to: &bytes)
    bytes.append(contentsOf: text.utf8)
  }

  private static func appendHead(_ major: UInt8, _ value: UInt64, to bytes: inout [UInt8]) {
    let type = major << 5
    switch value {
    case 0..<24: bytes.append(type | UInt8(value))
    case 24...0xff: bytes.append(contentsOf: [type | 24, UInt8(value)])
    case 0x100...0xffff:
      bytes.append(type | 25)
      withUnsafeBytes(of: UInt16(value).bigEndian) { bytes.append(contentsOf: $0) }
    case 0x1_0000...0xffff_ffff:
      bytes.append(type | 26)
      withUnsafeBytes(of: UInt32(value).bigEndian) { bytes.append(contentsOf: $0) }
    default:
      bytes.append(type | 27)
      withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }
  }
}
