#if canImport(Glibc)
  import Glibc
#endif
import DWN
import Synchronization

/// Data that is being received: in memory while it is small, then in a file. Its CID is computed as it comes, and nothing of it
/// stays unless a message comes to name it.
///
/// For one caller at a time, on a thread that may wait for the disk.
final class IncomingData: Sendable {
  private struct State {
    var hash = DataCID()
    var size = 0
    var memory: [UInt8] = []
    var file: (name: String, descriptor: Int32)?
  }

  private let folder: DataFolder
  private let limit: Int
  private let room: StagingRoom
  private let state = Mutex(State())

  init(in folder: DataFolder, limit: Int, for holder: StagingHolder = .tenant) {
    self.folder = folder
    self.limit = limit
    room = StagingRoom(in: folder, for: holder)
  }

  deinit {
    guard let file = state.withLock({ $0.file }) else { return }
    Glibc.close(file.descriptor)
    folder.remove(file.name)
  }

  /// Throws status 413 for more than the node takes, 503 while too much waits, and `NodeError` when the disk fails.
  func append(_ bytes: [UInt8]) throws {
    try state.withLock { state in
      guard state.size + bytes.count <= limit else {
        throw DWNError(413, "RecordDataSizeLimitExceeded", "this node takes data of at most \(limit) bytes")
      }
      guard room.grow(by: bytes.count) else {
        throw DWNError(503, "RecordDataStagingFull", "too much data is being received: try again in a moment")
      }
      state.hash.update(bytes)
      state.size += bytes.count
      state.memory += bytes
      if state.size > NodeLimits.dataInDatabase { try spill(&state) }
    }
  }

  /// The data as a whole: when it is in a file, it is on the disk. Called once, at the end.
  func finish() throws -> ReceivedData {
    try state.withLock { state in
      var hash = state.hash
      guard let file = state.file else { return ReceivedData(.bytes(state.memory), cid: hash.finalize()) }
      guard fsync(file.descriptor) == 0 else { throw folder.failure() }
      try folder.flush()
      state.file = nil
      let content = DataFile(
        staged: file.name, path: folder.path(of: file.name), descriptor: file.descriptor, size: state.size, room: room)
      return ReceivedData(.file(content), cid: hash.finalize())
    }
  }

  private func spill(_ state: inout State) throws {
    let descriptor: Int32
    if let file = state.file {
      descriptor = file.descriptor
    } else {
      let file = try folder.create()
      state.file = file
      descriptor = file.descriptor
    }
    var offset = 0
    while offset < state.memory.count {
      let count = state.memory.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + offset, $0.count - offset) }
      if count > 0 { offset += count } else if errno != EINTR { throw folder.failure() }
    }
    state.memory.removeAll(keepingCapacity: true)
  }
}

/// Data that came as a whole, before anything was compared with it.
struct ReceivedData: Sendable {
  let content: MessageData
  private let streamed: CID?

  init(_ content: MessageData, cid: CID) {
    self.content = content
    streamed = cid
  }

  /// Small data, whose CID is computed when it is asked for.
  init(_ bytes: [UInt8]) {
    content = .bytes(bytes)
    streamed = nil
  }

  var size: Int { content.size }

  var cid: CID {
    if let streamed { return streamed }
    guard case .bytes(let bytes) = content else { preconditionFailure("data in a file comes with its CID") }
    return DataCID.of(bytes)
  }
}
