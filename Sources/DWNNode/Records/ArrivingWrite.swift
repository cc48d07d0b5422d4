import DWN
import Wire

/// A write that proved everything it can prove by itself, with its data if that came along.
struct ArrivingWrite: Sendable {
  let write: RecordsWrite
  /// Canonical text of the message.
  let json: String
  /// `nil` when no data came; checked against the descriptor when it did.
  let content: MessageData?

  /// The CID of no bytes.
  private static let emptyDataCID = DataCID.of([])

  init(_ write: RecordsWrite, json: String, data: ReceivedData?, limits: NodeLimits) throws(DWNError) {
    guard write.dataSize <= limits.largestData else {
      throw DWNError(413, "RecordDataSizeLimitExceeded", "this node takes data of at most \(limits.largestData) bytes")
    }
    var data = data
    // Zero bytes look like no data where a request's body is the data.
    if data == nil, write.dataSize == 0, write.dataCID == Self.emptyDataCID { data = ReceivedData([]) }
    if let data {
      guard data.size == write.dataSize else {
        throw DWNError(
          400, "RecordsWriteDataSizeMismatch", "\(data.size) bytes came, and the descriptor says \(write.dataSize)")
      }
      guard data.cid == write.dataCID else {
        throw DWNError(400, "RecordsWriteDataCidMismatch", "the data does not have the dataCid of the descriptor")
      }
    }
    self.write = write
    self.json = json
    content = data?.content
  }

  /// The data of a record that the node itself reads. Throws status 413 for data that is too large for that.
  func readableData() throws(DWNError) -> [UInt8]? {
    switch content {
    case nil: return nil
    case .bytes(let bytes): return bytes
    case .file:
      throw DWNError(
        413, "RecordDataSizeLimitExceeded",
        "the data of a record at \(write.path) has at most \(NodeLimits.dataInDatabase) bytes")
    }
  }

  /// As the store keeps it.
  func stored(isLatest: Bool) -> StoredMessage {
    let published = write.message.descriptor["datePublished"]?.string.flatMap { WallTime(timestamp: $0) }
    return StoredMessage(
      kind: .write, cid: write.cid.text, element: write.signed.element, author: write.author,
      timestamp: write.timestamp, json: json, protocolURI: write.protocolURI,
      place: StoredMessage.Place(
        recordID: write.recordID, contextID: write.contextID, path: write.path, recipient: write.recipient,
        schema: write.schema, dateCreated: write.dateCreated),
      content: StoredMessage.Content(
        dataFormat: write.dataFormat, dataCID: write.dataCID, dataSize: write.dataSize, isPublished: write.published,
        datePublished: published, isSquash: write.squash, isInitial: write.isInitial, tags: write.tags),
      isLatest: isLatest)
  }
}
