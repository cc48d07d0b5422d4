import Cryptography
import Foundation
import Glibc
import Identity
import Wire

/// Who may use a relay, as a file says it: a DID or `nodekey:` and 64 hexadecimal digits a line. Empty lines and those that begin with
/// `#` are passed over.
struct MembersFile: Sendable {
  static let largest = 4 << 20

  let path: String
  /// What tells one state of the file from another.
  private var mark: [Int]?

  init(_ path: String) {
    self.path = path
  }

  /// Reads the file if it is another than when this was last asked; `nil` if it is not. Throws where a line is not understood: half
  /// a list is none.
  mutating func readIfChanged() throws(AgentError) -> Set<X25519PublicKey>? {
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw .failed("\(path) cannot be read: \(StateDirectory.errnoText())")
    }
    let now = [Int(status.st_ino), Int(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
    guard now != mark else { return nil }
    guard status.st_mode & S_IFMT == S_IFREG, status.st_size <= Self.largest,
      let bytes = FileManager.default.contents(atPath: path)
    else { throw .failed("\(path) cannot be read, or is larger than \(Self.largest >> 20) MB") }
    let keys = try Self.keys(in: String(decoding: bytes, as: UTF8.self), of: path)
    mark = now
    return keys
  }

  static func keys(in text: String, of path: String) throws(AgentError) -> Set<X25519PublicKey> {
    var keys: Set<X25519PublicKey> = []
    for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let entry = line.trimmingCharacters(in: .whitespaces)
      guard !entry.isEmpty, !entry.hasPrefix("#") else { continue }
      guard let key = key(entry), !key.isSmallOrder else {
        throw .failed(
          "\(path), line \(index + 1): neither the DID of a machine nor 'nodekey:' and 64 hexadecimal digits")
      }
      keys.insert(key)
    }
    return keys
  }

  private static func key(_ entry: String) -> X25519PublicKey? {
    if entry.hasPrefix("nodekey:") {
      return Hex.decode(entry.dropFirst("nodekey:".count)).flatMap { X25519PublicKey($0) }
    }
    return DID(entry)?.wireGuardKey
  }
}
