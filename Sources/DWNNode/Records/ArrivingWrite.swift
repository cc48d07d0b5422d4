import DWN
import Wire

/// A write that proved everything it can prove by itself, with its data if that came along.
struct ArrivingWrite: Sendable {
  let write: RecordsWrite
  /// Canonical text of the message.
  let json: String
  /// `nil` when no data came; checked against the descriptor when it did.
  let data: [UInt8]?

  /// The CID of no bytes.
  private static let emptyDataCID = DataCID.of([])

  init(_ write: RecordsWrite, json: String, data: [UInt8]?, limits: NodeLimits) throws(DWNError) {
    guard write.dataSize <= limits.largestData else {
      throw DWNError(413, "RecordDataSizeLimitExceeded", "this node takes data of at most \(limits.largestData) bytes")
    }
    var data = data
    // Zero bytes look like no data where a request's body is the data.
    if data == nil, write.dataSize == 0, write.dataCID == Self.emptyDataCID { data = [] }
    if let data {
      guard data.count == write.dataSize else {
        throw DWNError(
          400, "RecordsWriteDataSizeMismatch", "\(data.count) bytes came, and the descriptor says \(write.dataSize)")
      }
      guard DataCID.of(data) == write.dataCID else {
        throw DWNError(400, "RecordsWriteDataCidMismatch", "the data does not have the dataCid of the descriptor")
      }
    }
    self.write = write
    self.json = json
    self.data = data
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
