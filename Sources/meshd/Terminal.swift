import Foundation
import Glibc
import Synchronization
import Wire

/// A line of a command's result. Written at once, in place of the library's function of this name, so that progress and result
/// keep their order also when they go into a pipe.
func print(_ text: String) {
  Terminal.write(Terminal.plain(text) + "\n", to: STDOUT_FILENO)
}

/// What a person sees.
enum Terminal {
  static func error(_ text: String) {
    let isTerminal = isatty(STDERR_FILENO) == 1
    let prefix = isTerminal ? "\u{1b}[31mmeshd:\u{1b}[0m " : "meshd: "
    // One line, whatever a node or a library says.
    write(prefix + plain(text).replacingOccurrences(of: "\n", with: " ") + "\n", to: STDERR_FILENO)
  }

  /// Names, labels and refusals are words of others: nothing in them may steer the terminal or turn the order of a line around.
  static func plain(_ text: String) -> String {
    func steers(_ scalar: Unicode.Scalar) -> Bool {
      switch scalar.value {
      case 0x0a: false
      case 0x202a...0x202e, 0x2066...0x2069: true
      default: scalar.properties.generalCategory == .control
      }
    }
    guard text.unicodeScalars.contains(where: steers) else { return text }
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { result.append(steers(scalar) ? "\u{fffd}" : scalar) }
    return String(result)
  }

  static func warning(_ text: String) {
    write("Warning: " + plain(text) + "\n", to: STDERR_FILENO)
  }

  /// How a job goes on.
  static func note(_ text: String) { write(plain(text) + "\n", to: STDERR_FILENO) }

  static func write(_ text: String, to descriptor: Int32) {
    let bytes = Array(text.utf8)
    var offset = 0
    while offset < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + offset, bytes.count - offset) }
      guard count <= 0 else {
        offset += count
        continue
      }
      if errno == EINTR { continue }
      // Who stopped reading knows that.
      if descriptor == STDOUT_FILENO, errno != EPIPE { lostOutput.store(errno, ordering: .relaxed) }
      return
    }
  }

  private static let lostOutput = Atomic<Int32>(0)

  /// Why a part of the result was not written, if it was not: a command that ends in this way has failed.
  static var writeFailure: String? {
    let number = lostOutput.load(ordering: .relaxed)
    return number == 0 ? nil : "the result cannot be written: \(String(cString: strerror(number)))"
  }

  /// Progress goes to standard error when the result is for a program.
  static func progress(_ text: String, json: Bool) {
    write(plain(text) + "\n", to: json ? STDERR_FILENO : STDOUT_FILENO)
  }

  /// Does what may have to wait for nodes elsewhere, and says so when it takes long.
  static func patiently<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
    let notice = Task {
      try await Task.sleep(for: .seconds(2))
      note("Waiting for a node to answer…")
    }
    defer { notice.cancel() }
    return try await body()
  }

  static func print(json: JSONValue) {
    write(json.prettyText + "\n", to: STDOUT_FILENO)
  }

  /// Columns as wide as their widest cell, two spaces apart, a dash line below the titles. A cell is one line, whatever is in it.
  static func table(_ titles: [String], _ rows: [[String]]) -> String {
    let rows = rows.map { $0.map { String($0.map { $0.isNewline ? " " : $0 }) } }
    let widths = titles.indices.map { column in ([titles] + rows).map { $0[column].count }.max() ?? 0 }
    func line(_ cells: [String]) -> String {
      let padded = zip(cells, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }
      return padded.joined(separator: "  ").replacingOccurrences(of: #" +$"#, with: "", options: .regularExpression)
    }
    let dashes = String(repeating: "-", count: widths.reduce(0, +) + 2 * (widths.count - 1))
    return ([line(titles), dashes] + rows.map(line)).joined(separator: "\n")
  }
}
