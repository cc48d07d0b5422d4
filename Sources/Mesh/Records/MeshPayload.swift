public import Wire

/// The data of one kind of record, as a value.
///
/// Reading ignores members that nobody here knows and takes `null` for an absent member; writing gives exactly the members of the
/// schema.
public protocol MeshPayload: Sendable {
  /// The schema that everything written of this type satisfies.
  static var schema: RecordSchema { get }

  /// Throws `malformed`.
  init(_ members: JSONObject) throws(MeshError)

  var json: JSONValue { get }
}

extension MeshPayload {
  /// Reads a record's plaintext. Throws `malformed`.
  public init(parsing plaintext: [UInt8]) throws(MeshError) {
    let value: JSONValue
    do {
      value = try JSONValue(parsing: plaintext)
    } catch {
      throw .malformed(record: Self.schema.recordName, reason: error.description)
    }
    guard let members = value.object else {
      throw .malformed(record: Self.schema.recordName, reason: "its data is not a JSON object")
    }
    try self.init(members)
  }

  /// The plaintext to be written. Throws `unwritable` when the value breaks the schema of its type.
  public func encoded() throws(MeshError) -> [UInt8] {
    let json = json
    try Self.schema.check(json)
    return json.encoded
  }
}
