import NIOCore

/// What to do with the body of a request as it comes (dwn-server 11.1): its JSON, where it has one, stays in memory, and so does
/// data that is small; larger data is to be stored piece by piece, one piece at a time.
struct BodyIntake {
  enum Step: Equatable {
    /// More is to come, or to be stored.
    case wait
    /// Put this with what was stored before, and call `stored()`.
    case store([UInt8])
    /// The body has ended, and what there was to store has been stored.
    case whole
    case tooLarge
    /// It is not in the framing that it says it has.
    case malformed
  }

  let isFramed: Bool
  /// Of data, in bytes.
  private let limit: Int
  private let storesBeyond: Int
  private var memory: ByteBuffer
  private var framing: BodyFraming?
  /// That stands before the data.
  private(set) var json: [UInt8]?
  private(set) var storedBytes = 0
  private(set) var isStoring = false
  private(set) var hasEnded = false

  /// Data is stored once it has more than `storesBeyond` bytes.
  init(isFramed: Bool, limit: Int, storesBeyond: Int = NodeLimits.dataInDatabase, memory: ByteBuffer = ByteBuffer()) {
    self.isFramed = isFramed
    self.limit = limit
    self.storesBeyond = storesBeyond
    self.memory = memory
  }

  /// Whether data came, be it without a byte; known once the body is whole. `nil` where only the head of the request can tell.
  var hasData: Bool? { isFramed ? framing?.hasData : (storedBytes + memory.readableBytes > 0 ? true : nil) }

  mutating func receive(_ part: ByteBuffer) -> Step {
    memory.writeImmutableBuffer(part)
    return advance()
  }

  mutating func stored() -> Step {
    isStoring = false
    return advance()
  }

  mutating func end() -> Step {
    hasEnded = true
    return advance()
  }

  /// The data, if none of it had to be stored.
  mutating func takeData() -> [UInt8] { memory.readBytes(length: memory.readableBytes) ?? [] }

  private mutating func advance() -> Step {
    if isFramed, json == nil {
      if framing == nil, let header = memory.readBytes(length: BodyFraming.headerLength) {
        framing = BodyFraming(header: header)
        if framing == nil { return .malformed }
      }
      guard let framing, let text = memory.readBytes(length: framing.jsonLength) else {
        return hasEnded ? .malformed : .wait
      }
      json = text
    }
    guard framing?.hasData != false || memory.readableBytes == 0 else { return .malformed }
    guard storedBytes + memory.readableBytes <= limit else { return .tooLarge }
    guard !isStoring else { return .wait }
    let isRest = hasEnded && storedBytes > 0 && memory.readableBytes > 0
    if memory.readableBytes > storesBeyond || isRest {
      isStoring = true
      storedBytes += memory.readableBytes
      return .store(takeData())
    }
    return hasEnded ? .whole : .wait
  }
}
