/// What a descriptor says of a record's data: enough to sign a write whose data is too large to be held.
public struct DataDescription: Hashable, Sendable {
  public let cid: CID
  /// In bytes.
  public let size: Int

  public init(cid: CID, size: Int) {
    self.cid = cid
    self.size = size
  }

  public init(of data: [UInt8]) {
    self.init(cid: DataCID.of(data), size: data.count)
  }
}
