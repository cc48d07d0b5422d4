import Foundation
import Testing

@testable import DWNNode

/// An export as its lines, so that a test can change them.
enum ExportFile {
  static func lines(of path: String) throws -> [String] {
    let handle = try #require(FileHandle(forReadingAtPath: path))
    let reader = try ZstdLines(handle.fileDescriptor, path: path, longestLine: ExportLine.longest)
    var lines: [String] = []
    while let line = try reader.next() { lines.append(String(decoding: line, as: UTF8.self)) }
    try handle.close()
    return lines
  }

  static func write(_ lines: [String], to path: String) throws {
    _ = FileManager.default.createFile(atPath: path, contents: nil)
    let handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.truncate(atOffset: 0)
    let writer = try ZstdWriter(handle.fileDescriptor, path: path)
    for line in lines { try writer.write(Array((line + "\n").utf8)) }
    try writer.finish()
    try handle.close()
  }
}
