import DWN
import Wire

/// A write that proved everything it can prove without a signature, with its data if that came along.
struct ArrivingWrite: Sendable {
  let write: RecordsWrite
  /// Canonical text of the message.
  let json: String
  /// `nil` when no data came, or other data than the descriptor's.
  let content: MessageData?
  /// Why data that came is not that of the descriptor. It matters once nothing else is wrong.
  let fault: DWNError?
  /// When the node got it.
  var arrived: WallTime?
  /// Whether data came, of whatever content.
  var hasData: Bool { content != nil || fault != nil }

  /// The CID of no bytes.
  private static let emptyDataCID = DataCID.of([])

  init(_ write: RecordsWrite, json: String, data: ReceivedData?, limits: NodeLimits) throws(DWNError) {
    guard write.dataSize <= limits.largestData else {
      throw DWNError(413, "RecordDataSizeLimitExceeded", "this node takes data of at most \(limits.largestData) bytes")
    }
    if limits.isStrict, let encryption = write.encryption, !V1Envelope.claims(encryption) {
      throw DWNError(
        400, "SchemaValidatorAdditionalPropertyNotAllowed", "encryption has members of another form than version 1")
    }
    var data = data
    // Zero bytes look like no data where a request's body is the data.
    if data == nil, write.dataSize == 0, write.dataCID == Self.emptyDataCID { data = ReceivedData([]) }
    self.write = write
    self.json = json
    fault = data.flatMap { Self.fault(in: $0, of: write) }
    content = fault == nil ? data?.content : nil
  }

  private static func fault(in data: ReceivedData, of write: RecordsWrite) -> DWNError? {
    if data.size != write.dataSize {
      return DWNError(
        400, "RecordsWriteDataSizeMismatch", "\(data.size) bytes came, and the descriptor says \(write.dataSize)")
    }
    if data.cid != write.dataCID {
      return DWNError(400, "RecordsWriteDataCidMismatch", "the data does not have the dataCid of the descriptor")
    }
    return nil
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
    StoredMessage(
      kind: .write, cid: write.cid.text, element: write.signed.element, author: write.author,
      timestamp: write.timestamp, json: json, protocolURI: write.protocolURI,
      place: StoredMessage.Place(
        recordID: write.recordID, contextID: write.contextID, path: write.path, recipient: write.recipient,
        schema: write.schema, dateCreated: write.dateCreated),
      content: StoredMessage.Content(
        dataFormat: write.dataFormat, dataCID: write.dataCID, dataSize: write.dataSize, isPublished: write.published,
        datePublished: write.datePublished, isSquash: write.squash, isInitial: write.isInitial, tags: write.tags),
      isLatest: isLatest, attester: write.attester, arrived: arrived)
  }
}
