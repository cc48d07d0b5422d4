#if canImport(Glibc)
  import Glibc
#endif

/// The operating system's words for an error number.
enum SystemErrorText {
  static func of(_ code: CInt) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).lowercased()
  }
}
