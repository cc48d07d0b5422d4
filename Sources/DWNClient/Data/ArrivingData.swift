import AsyncHTTPClient
import DWN
import NIOCore
import NIOPosix
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// Data of a record that comes in pieces, no faster than it is taken; to be gone through once.
///
/// Its CID is computed as it passes. Only when the last piece was followed by no error it is what the record says: until then, and
/// after a `mismatch`, nothing of it is to be used.
public struct ArrivingData: AsyncSequence, Sendable {
  public typealias Element = [UInt8]

  enum Source: Sendable {
    case bytes([UInt8])
    case body(HTTPClientResponse.Body)
  }

  /// What the record says of it. The size is in bytes.
  public let size: Int
  private let cid: CID
  private let name: String
  private let source: Source

  /// `nil` for a reply whose record says nothing of data, or without any.
  init?(_ reply: Reply, _ body: HTTPClientResponse.Body?, from name: String) {
    guard let entry = reply.entry, let descriptor = entry.message["descriptor"],
      let cid = descriptor["dataCid"]?.string.flatMap({ CID($0) }),
      let size = descriptor["dataSize"]?.integer.flatMap({ Int(exactly: $0) }), size >= 0,
      let source = body.map(Source.body) ?? entry.data.map(Source.bytes)
    else { return nil }
    self.size = size
    self.cid = cid
    self.name = name
    self.source = source
  }

  public func makeAsyncIterator() -> AsyncIterator {
    switch source {
    case .bytes(let bytes): AsyncIterator(self, held: bytes, body: nil)
    case .body(let body): AsyncIterator(self, held: nil, body: body.makeAsyncIterator())
    }
  }

  public struct AsyncIterator: AsyncIteratorProtocol {
    private let data: ArrivingData
    private var held: [UInt8]?
    private var body: HTTPClientResponse.Body.AsyncIterator?
    private var hash = DataCID()
    private var hasEnded = false

    fileprivate init(_ data: ArrivingData, held: [UInt8]?, body: HTTPClientResponse.Body.AsyncIterator?) {
      self.data = data
      self.held = held
      self.body = body
    }

    /// Throws `mismatch`, and `endpoint` when the connection fails.
    public mutating func next() async throws -> [UInt8]? {
      guard !hasEnded else { return nil }
      if let piece = try await piece() {
        hash.update(piece)
        guard hash.size <= data.size else { throw mismatch("it is longer than \(data.size) bytes") }
        return piece
      }
      guard hash.size == data.size else { throw mismatch("it ends after \(hash.size) of \(data.size) bytes") }
      guard hash.finalize() == data.cid else { throw mismatch("its CID is another") }
      hasEnded = true
      return nil
    }

    private mutating func piece() async throws -> [UInt8]? {
      if let held {
        self.held = nil
        return held
      }
      do {
        return try await body?.next().map { Array($0.readableBytesView) }
      } catch let error as CancellationError {
        throw error
      } catch {
        hasEnded = true
        let failure = TransportFailure.describe(error, name: data.name, limits: HTTPEndpoint.Limits())
        throw DataTransferError.endpoint(failure)
      }
    }

    private mutating func mismatch(_ reason: String) -> DataTransferError {
      hasEnded = true
      return .mismatch(name: data.name, reason: reason)
    }
  }
}

extension ArrivingData {
  /// Writes it into a new file: all of it and flushed, or there is no file. Throws `file` where there is one already.
  public func save(to path: String) async throws {
    let part = path + ".part"
    let descriptor = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw DataTransferError.file(path: part, reason: SystemErrorText.of(errno)) }
    defer {
      close(descriptor)
      unlink(part)
    }
    for try await piece in self {
      try await NIOThreadPool.singleton.runIfActive { try Self.write(piece, to: descriptor, part) }
    }
    try await NIOThreadPool.singleton.runIfActive {
      guard fsync(descriptor) == 0, link(part, path) == 0 else {
        throw DataTransferError.file(path: path, reason: SystemErrorText.of(errno))
      }
    }
  }

  private static func write(_ bytes: [UInt8], to descriptor: Int32, _ path: String) throws {
    try bytes.withUnsafeBytes { bytes in
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
        if count > 0 {
          rest = rest.dropFirst(count)
        } else if errno != EINTR {
          throw DataTransferError.file(path: path, reason: SystemErrorText.of(errno))
        }
      }
    }
  }
}
