public import DWN
import NIOCore
import NIOPosix
import Synchronization

/// Data for a node that comes in pieces, of any size as a whole. It is read once for its CID, and again each time that a request is
/// sent; a piece is asked for when the one before it has left.
public struct OutgoingData: Sendable {
  /// In bytes.
  public let size: Int
  /// Begins to read from the start. The function gives one piece after the other, and `nil` after the last.
  let read: @Sendable () -> () async throws -> [UInt8]?

  /// What a sequence gives each time that it is gone through. What is in memory at a time is a piece or two.
  public init<Pieces: AsyncSequence & Sendable>(_ pieces: Pieces, size: Int) where Pieces.Element == [UInt8] {
    self.size = size
    read = {
      var iterator = pieces.makeAsyncIterator()
      return { try await iterator.next() }
    }
  }

  /// The contents of a file, which stays open as long as this is kept. Blocks for as long as it takes to open it. Throws `file`.
  public init(file path: String) throws(DataTransferError) {
    let file = try ReadFile(path)
    size = file.size
    read = {
      var offset = 0
      return {
        guard offset < file.size else { return nil }
        let range = offset..<min(offset + ReadFile.piece, file.size)
        offset = range.upperBound
        return try await NIOThreadPool.singleton.runIfActive { try file.read(range) }
      }
    }
  }

  /// Reads all of it: what a record says of this data.
  public func description() async throws -> DataDescription {
    var hash = DataCID()
    let next = read()
    while let piece = try await next() {
      hash.update(piece)
      guard hash.size <= size else { break }
    }
    guard hash.size == size else { throw DataTransferError.changed(reason: "it has not the \(size) bytes that it had") }
    return DataDescription(cid: hash.finalize(), size: size)
  }
}

/// The body of a request with data that comes in pieces. The last piece leaves only when all of them together are what was signed:
/// otherwise the node is left with half a body, of which nothing counts.
struct OutgoingPieces: AsyncSequence, Sendable {
  typealias Element = ByteBuffer

  let data: OutgoingData
  let described: DataDescription
  /// What was wrong with the data, when it was.
  let fault = TransferFault()
  private var before: [UInt8] = []

  init(_ data: OutgoingData, _ described: DataDescription) {
    self.data = data
    self.described = described
  }

  /// The same with bytes in front of it.
  func after(_ bytes: [UInt8]) -> OutgoingPieces {
    var pieces = self
    pieces.before = bytes
    return pieces
  }

  func makeAsyncIterator() -> AsyncIterator {
    AsyncIterator(next: data.read(), described: described, fault: fault, held: before)
  }

  struct AsyncIterator: AsyncIteratorProtocol {
    fileprivate let next: () async throws -> [UInt8]?
    fileprivate let described: DataDescription
    fileprivate let fault: TransferFault
    fileprivate var held: [UInt8]
    private var hash = DataCID()
    private var hasEnded = false

    fileprivate init(
      next: @escaping () async throws -> [UInt8]?, described: DataDescription, fault: TransferFault, held: [UInt8]
    ) {
      self.next = next
      self.described = described
      self.fault = fault
      self.held = held
    }

    mutating func next() async throws -> ByteBuffer? {
      guard !hasEnded else { return nil }
      do {
        while let piece = try await next() {
          hash.update(piece)
          guard hash.size <= described.size else { throw fault("it is longer than \(described.size) bytes") }
          let leaving = held
          held = piece
          if !leaving.isEmpty { return ByteBuffer(bytes: leaving) }
        }
        hasEnded = true
        guard hash.size == described.size else { throw fault("it ends after \(hash.size) of \(described.size) bytes") }
        guard hash.finalize() == described.cid else { throw fault("its CID is another") }
      } catch {
        hasEnded = true
        self.fault.note(error)
        throw error
      }
      return held.isEmpty ? nil : ByteBuffer(bytes: held)
    }

    private func fault(_ reason: String) -> DataTransferError { .changed(reason: reason) }
  }
}

/// What went wrong on this side while a request was sent, which the HTTP library may tell as something else.
final class TransferFault: Sendable {
  private let first = Mutex<DataTransferError?>(nil)

  var error: DataTransferError? { first.withLock { $0 } }

  func note(_ error: any Error) {
    first.withLock { first in
      guard first == nil, !(error is CancellationError) else { return }
      first = error as? DataTransferError ?? .changed(reason: String("\(error)".prefix(200)))
    }
  }
}
