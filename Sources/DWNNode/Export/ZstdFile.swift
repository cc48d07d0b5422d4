import CZstd

#if canImport(Glibc)
  import Glibc
#endif

/// Writes one zstd frame with a checksum into a file (RFC 8878).
final class ZstdWriter {
  private let descriptor: Int32
  private let path: String
  private let context: OpaquePointer
  private var output: [UInt8]

  /// The descriptor stays the caller's. `path` is for errors.
  init(_ descriptor: Int32, path: String) throws(NodeError) {
    guard let context = ZSTD_createCCtx() else {
      throw .cannotReadOrWrite(path: path, reason: "no memory is left to compress with")
    }
    self.descriptor = descriptor
    self.path = path
    self.context = context
    output = [UInt8](repeating: 0, count: ZSTD_CStreamOutSize())
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
  }

  deinit { ZSTD_freeCCtx(context) }

  func write(_ bytes: [UInt8]) throws(NodeError) { try compress(bytes, ZSTD_e_continue) }

  /// Ends the frame. Called once, at the end.
  func finish() throws(NodeError) { try compress([], ZSTD_e_end) }

  private func compress(_ bytes: [UInt8], _ directive: ZSTD_EndDirective) throws(NodeError) {
    var position = 0
    while true {
      let (rest, produced) = bytes.withUnsafeBytes { source in
        output.withUnsafeMutableBytes { target in
          var input = ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: position)
          var result = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
          let rest = ZSTD_compressStream2(context, &result, &input, directive)
          position = input.pos
          return (rest, result.pos)
        }
      }
      guard ZSTD_isError(rest) == 0 else { throw .cannotReadOrWrite(path: path, reason: zstdError(rest)) }
      try FileCopy.write(output[..<produced], to: descriptor, path: path)
      if directive == ZSTD_e_end ? rest == 0 : position == bytes.count { return }
    }
  }
}

/// Reads the lines of a file of zstd frames, one at a time. Memory is bounded whatever the file says: by the longest line, and by
/// the window that a compressor of level 19 uses.
final class ZstdLines {
  private static let largestWindow: Int32 = 23

  private let descriptor: Int32
  private let path: String
  private let longestLine: Int
  private let context: OpaquePointer
  private var compressed: [UInt8]
  private var compressedRange = 0..<0
  private var text: [UInt8] = []
  private var textStart = 0
  private var isInsideFrame = false
  private var hasEnded = false

  /// The descriptor stays the caller's. `path` is for errors.
  init(_ descriptor: Int32, path: String, longestLine: Int) throws(NodeError) {
    guard let context = ZSTD_createDCtx() else {
      throw .cannotReadOrWrite(path: path, reason: "no memory is left to decompress with")
    }
    self.descriptor = descriptor
    self.path = path
    self.longestLine = longestLine
    self.context = context
    compressed = [UInt8](repeating: 0, count: ZSTD_DStreamInSize())
    ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Self.largestWindow)
  }

  deinit { ZSTD_freeDCtx(context) }

  /// The next line without its end; `nil` after the last one. A last line without an end is a file that was cut off.
  func next() throws(NodeError) -> ArraySlice<UInt8>? {
    var searched = textStart
    while true {
      if let end = text[searched...].firstIndex(of: 0x0a) {
        defer { textStart = end + 1 }
        return text[textStart..<end]
      }
      guard text.count - textStart <= longestLine else { throw unusable("a line is too long") }
      text.removeFirst(textStart)
      textStart = 0
      searched = text.count
      if try !decompress() {
        guard text.isEmpty else { throw unusable("it ends in the middle of a line") }
        return nil
      }
    }
  }

  /// Adds some text; `false` at the end of the file.
  private func decompress() throws(NodeError) -> Bool {
    while true {
      if compressedRange.isEmpty, !hasEnded { try fill() }
      var output = [UInt8](repeating: 0, count: ZSTD_DStreamOutSize())
      let (rest, consumed, produced) = compressed.withUnsafeBytes { source in
        output.withUnsafeMutableBytes { target in
          var input = ZSTD_inBuffer(
            src: source.baseAddress, size: compressedRange.upperBound, pos: compressedRange.lowerBound)
          var result = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
          let rest = ZSTD_decompressStream(context, &result, &input)
          return (rest, input.pos, result.pos)
        }
      }
      guard ZSTD_isError(rest) == 0 else { throw unusable(zstdError(rest)) }
      let isStuck = consumed == compressedRange.lowerBound && produced == 0
      if !isStuck { isInsideFrame = rest != 0 }
      compressedRange = consumed..<compressedRange.upperBound
      if produced > 0 {
        text += output[..<produced]
        return true
      }
      if isStuck, hasEnded {
        guard !isInsideFrame else { throw unusable("it was cut off") }
        return false
      }
    }
  }

  private func fill() throws(NodeError) {
    var count = read(descriptor, &compressed, compressed.count)
    while count < 0, errno == EINTR { count = read(descriptor, &compressed, compressed.count) }
    guard count >= 0 else { throw FileCopy.failure(path) }
    compressedRange = 0..<count
    hasEnded = count == 0
  }

  private func unusable(_ reason: String) -> NodeError {
    .cannotReadOrWrite(path: path, reason: "it is no whole file of zstd-compressed lines: \(reason)")
  }
}

private func zstdError(_ code: Int) -> String { String(cString: ZSTD_getErrorName(code)).lowercased() }
