#if canImport(Glibc)
  import Glibc
#endif
import Wire

/// Copies and moves files so that what a person is told is there survives a power cut, and nothing that is there is lost.
enum FileCopy {
  /// Whether something has this name, be it a link that leads nowhere.
  static func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
  }

  static func size(_ path: String) -> Int? {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG ? Int(status.st_size) : nil
  }

  /// The names in a folder; `nil` if it is none, or cannot be read to its end.
  static func names(in folder: String) -> [String]? {
    names(of: open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
  }

  /// Takes the descriptor over.
  private static func names(of descriptor: Int32) -> [String]? {
    guard descriptor >= 0 else { return nil }
    guard let directory = fdopendir(descriptor) else {
      close(descriptor)
      return nil
    }
    defer { closedir(directory) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(directory) else { return errno == 0 ? names : nil }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
  }

  /// A new folder for its owner alone.
  static func makeFolder(_ path: String) throws(NodeError) {
    guard mkdir(path, 0o700) == 0 else { throw failure(path) }
    try giveAway(folder: path)
  }

  /// What an administrator makes in the folder of a service is the service's: it could not read it otherwise. By its descriptor, as
  /// the service may give its name to something else meanwhile.
  static func giveAway(_ descriptor: Int32, in folder: String) throws(NodeError) {
    var status = stat()
    guard geteuid() == 0, stat(folder, &status) == 0, status.st_uid != 0 else { return }
    let (user, group) = (status.st_uid, status.st_gid)
    // A file with another name may be somebody else's.
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFDIR || status.st_nlink == 1 else { return }
    // Where that is not allowed, or not known, it stays as it is.
    guard fchown(descriptor, user, group) == 0 || errno == EPERM || errno == EOPNOTSUPP else { throw failure(folder) }
  }

  static func giveAway(folder path: String) throws(NodeError) {
    guard geteuid() == 0 else { return }
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { throw failure(path) }
    defer { close(descriptor) }
    try giveAway(descriptor, in: parent(of: path))
  }

  /// A new file for its owner alone, open for writing.
  static func create(_ path: String) throws(NodeError) -> Int32 {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw errno == EEXIST ? .wouldOverwrite(path: path) : failure(path) }
    try giveAway(descriptor, in: parent(of: path))
    return descriptor
  }

  /// Copies a file to a name that is free, and flushes it. Returns `false` if there is no such file. `copied` is given each piece.
  static func copy(
    _ source: String, to target: String, copied: (ArraySlice<UInt8>) throws(NodeError) -> Void = { _ in }
  ) throws(NodeError) -> Bool {
    let input = open(source, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard input >= 0 else {
      if errno == ENOENT { return false }
      throw failure(source)
    }
    defer { close(input) }
    let output = try create(target)
    defer { close(output) }
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = read(input, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw failure(source) }
      if count == 0 { break }
      try write(buffer[..<count], to: output, path: target)
      try copied(buffer[..<count])
    }
    guard fsync(output) == 0 else { throw failure(target) }
    return true
  }

  static func write(_ bytes: ArraySlice<UInt8>, to descriptor: Int32, path: String) throws(NodeError) {
    var rest = bytes
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress!, $0.count) }
      if count > 0 { rest = rest.dropFirst(count) } else if errno != EINTR { throw failure(path) }
    }
  }

  static func flush(_ path: String) throws(NodeError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(path) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw failure(path) }
  }

  /// Gives a folder a name that is free, or that an empty folder has.
  static func move(folder source: String, to target: String) throws(NodeError) {
    guard rename(source, target) == 0 else {
      throw errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR ? .wouldOverwrite(path: target) : failure(target)
    }
    try flush(parent(of: target))
  }

  /// Gives a file a name that is free.
  static func move(file source: String, to target: String) throws(NodeError) {
    if link(source, target) == 0 {
      unlink(source)
    } else {
      // Not every file system knows links.
      guard errno != EEXIST, !exists(target) else { throw .wouldOverwrite(path: target) }
      guard rename(source, target) == 0 else { throw failure(target) }
    }
    try flush(parent(of: target))
  }

  /// Removes a folder of files that this process made.
  static func removeFolder(_ path: String) {
    for name in names(in: path) ?? [] where unlink(path + "/" + name) != 0 && errno == EISDIR {
      removeFolder(path + "/" + name)
    }
    rmdir(path)
  }

  // MARK: What is half made

  /// A name for what is half made and will have another.
  static func partName(of path: String) -> String { path + "." + Hex.encode(SystemRandom().bytes(4)) + ".part" }

  /// Says that a file or a folder is being made, for as long as the descriptor is open.
  static func hold(_ path: String) throws(NodeError) -> Int32 {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { throw failure(path) }
    flock(descriptor, LOCK_EX | LOCK_NB)
    return descriptor
  }

  /// Removes what was to be made here by a process that was killed, and what stood beside it: files and folders of this user, or of the
  /// folder's owner, that nobody holds.
  static func removeParts(of path: String) {
    let folder = parent(of: path)
    let prefix = name(of: path) + "."
    let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { return }
    defer { close(directory) }
    var owner = stat()
    guard fstat(directory, &owner) == 0 else { return }
    for name in names(in: folder) ?? [] where name.hasPrefix(prefix) {
      let rest = name.dropFirst(prefix.count)
      guard rest.dropFirst(8).hasPrefix(".part"), rest.prefix(8).allSatisfy(\.isHexDigit) else { continue }
      remove(name, in: directory) { $0 == geteuid() || $0 == owner.st_uid }
    }
  }

  /// By descriptors alone: nothing that a name leads to is followed.
  private static func remove(_ name: String, in directory: Int32, ownedBy isOwner: (uid_t) -> Bool) {
    let descriptor = openat(directory, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, isOwner(status.st_uid), flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      return
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: unlinkat(directory, name, 0)
    case S_IFDIR:
      for inner in names(of: dup(descriptor)) ?? [] { remove(inner, in: descriptor, ownedBy: isOwner) }
      unlinkat(directory, name, Int32(AT_REMOVEDIR))
    default: break
    }
  }

  static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// As a shell completes the name of a folder, it ends with one.
  static func withoutSlash(_ path: String) -> String {
    guard path.count > 1, path.hasSuffix("/") else { return path }
    return withoutSlash(String(path.dropLast()))
  }

  static func name(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
  }

  static func failure(_ path: String) -> NodeError {
    if errno == ENOSPC || errno == EDQUOT { return .diskFull(path: path) }
    return .cannotReadOrWrite(path: path, reason: String(cString: strerror(errno)).lowercased())
  }
}
