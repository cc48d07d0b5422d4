import Foundation
import Glibc

/// A program that runs beside the benchmark, or was run by it.
final class ChildProcess {
  private let process = Process()
  private let input = Pipe()
  private let output = Pipe()

  var pid: pid_t { process.processIdentifier }

  /// - Parameter isTalking: whether its standard output is read line by line; otherwise both its streams are thrown away.
  init(_ command: [String], isTalking: Bool = false) throws {
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    process.standardInput = isTalking ? input : FileHandle.nullDevice
    process.standardOutput = isTalking ? output : FileHandle.nullDevice
    process.standardError = isTalking ? FileHandle.standardError : FileHandle.nullDevice
    try process.run()
  }

  /// Says a line, and hears one.
  func ask(_ line: String) throws -> String {
    try input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8))
    return try hear()
  }

  /// The next line that it prints.
  func hear() throws -> String {
    var line = Data()
    while let byte = try output.fileHandleForReading.read(upToCount: 1), byte.count == 1 {
      if byte[byte.startIndex] == UInt8(ascii: "\n") { return String(decoding: line, as: UTF8.self) }
      line += byte
    }
    throw BenchmarkFailure(reason: "\(process.arguments?.joined(separator: " ") ?? "a program") ended early")
  }

  /// Ends it, by force if it does not go within a second, and waits until it is gone.
  func stop() {
    try? input.fileHandleForWriting.close()
    process.terminate()
    for _ in 0..<100 where process.isRunning { usleep(10_000) }
    if process.isRunning { kill(pid, SIGKILL) }
    process.waitUntilExit()
  }

  /// Runs a command to its end and returns what it printed.
  ///
  /// - Throws: `BenchmarkFailure` with its own words if it does not exit with 0 within `seconds`.
  @discardableResult
  static func run(_ command: [String], seconds: Int = 30) throws -> String {
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["timeout", "\(seconds)"] + command
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw BenchmarkFailure(reason: "\(command.joined(separator: " ")): \(text.prefix(500))")
    }
    return text
  }
}
