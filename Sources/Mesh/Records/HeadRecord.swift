public import Cryptography
public import DWN
public import Wire

/// `network/head`: what is current, signed by the anchor (`trust.md` section 4). In clear.
public struct HeadRecord: MeshPayload, Hashable {
  public static let schema = RecordSchema.head

  /// Begins at 1 and rises by 1 with every head.
  public var seq: Int64
  public var epoch: KeyEpoch
  /// SHA-256 over the live set.
  public var records: Bytes32

  public init(seq: Int64, epoch: KeyEpoch, records: Bytes32) {
    self.seq = seq
    self.epoch = epoch
    self.records = records
  }

  public init(_ members: JSONObject) throws(MeshError) {
    let reader = PayloadReader(members, of: Self.schema)
    seq = try reader.required("seq", "a number from 1") { $0.integer.flatMap { $0 >= 1 ? $0 : nil } }
    epoch = try reader.required("epoch", "an epoch's number") { KeyEpoch($0) }
    records = try reader.required("records", "32 bytes in base64url") { value in
      value.string.flatMap { Base64.decode($0) }.flatMap { Bytes32($0) }
    }
  }

  public var json: JSONValue {
    ["seq": .integer(seq), "epoch": .integer(epoch.number), "records": .string(Base64.encode(records.array))]
  }
}
