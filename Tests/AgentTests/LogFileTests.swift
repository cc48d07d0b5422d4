import Foundation
import Glibc
import Logging
import TestSupport
import Testing

@testable import Agent

@Suite("the log of a daemon in the background")
struct LogFileTests {
  private static let limit = 20_000

  private let folder = TemporaryFolder()

  init() throws { _ = try StateDirectory(opening: folder.path) }

  private var path: String { folder.path + "/meshd.log" }

  private func withLog(_ body: (LogFile, _ descriptor: Int32) async throws -> Void) async throws {
    let descriptor = try LogFile.open(path, limit: Self.limit)
    defer { close(descriptor) }
    try await body(try #require(LogFile(continuing: path, on: [descriptor], limit: Self.limit)), descriptor)
  }

  private func lines(_ path: String) -> [Substring] {
    ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").split(
      separator: "\n", omittingEmptySubsequences: false)
  }

  private func information(_ path: String) -> stat {
    var info = stat()
    #expect(stat(path, &info) == 0)
    return info
  }

  private func logger(_ file: LogFile, _ label: String = "meshd") -> Logger {
    Logger(label: label) { TextLogHandler(label: $0, file: file) }
  }

  @Test("has two files of a bounded size while it runs, for its owner alone, which end with what was said last")
  func bounded() async throws {
    try await withLog { file, _ in
      let logger = logger(file)
      for number in 0..<2000 { logger.info("a line", metadata: ["number": "\(number)"]) }
      for path in [path, path + ".1"] {
        let info = information(path)
        #expect(info.st_size <= Self.limit && info.st_mode & 0o777 == 0o600)
      }
      #expect(information(path + ".1").st_size > Self.limit - 200, "one that is not full was put away")
      let all = lines(path + ".1").dropLast() + lines(path).dropLast()
      let numbers = all.compactMap { $0.split(separator: "number=").last.flatMap { Int($0) } }
      #expect(numbers == Array((2000 - all.count)..<2000))
    }
  }

  @Test("keeps every line whole and in its writer's order, however many write")
  func concurrent() async throws {
    try await withLog { file, _ in
      await withTaskGroup(of: Void.self) { group in
        for writer in 0..<4 {
          group.addTask { [logger = logger(file, "writer\(writer)")] in
            for number in 0..<100 { logger.info("a line", metadata: ["number": "\(number)"]) }
          }
        }
      }
      // Fewer than both files hold: nothing was thrown away, though another was begun.
      let all = lines(path + ".1").dropLast() + lines(path).dropLast()
      #expect(all.count == 400 && information(path + ".1").st_size > 0)
      for writer in 0..<4 {
        let own = all.filter { $0.hasSuffix("source=writer\(writer)") }
        let numbers = own.compactMap {
          $0.split(separator: " ").dropLast().last?.split(separator: "=").last.flatMap { Int($0) }
        }
        #expect(numbers == Array(0..<100))
      }
    }
  }

  @Test("has what the process says besides in the file that is written")
  func others() async throws {
    try await withLog { file, descriptor in
      for number in 0..<400 { logger(file).info("a line", metadata: ["number": "\(number)"]) }
      #expect(write(descriptor, "why it crashed\n", 15) == 15)
      #expect(lines(path).dropLast().last == "why it crashed")
    }
  }

  @Test("goes on in the file that is there when another daemon starts, and begins another where that is full")
  func restarted() async throws {
    try await withLog { file, _ in logger(file).info("first") }
    try await withLog { file, _ in logger(file).info("second") }
    #expect(lines(path).count == 3 && access(path + ".1", F_OK) != 0)
    try FileManager.default.removeItem(atPath: path)
    #expect(FileManager.default.createFile(atPath: path, contents: Data(count: Self.limit)))
    try await withLog { file, _ in logger(file).info("third") }
    #expect(lines(path).count == 2 && information(path + ".1").st_size == Self.limit)
  }

  @Test("writes on where no other file can be begun, and begins one as soon as it can")
  func refused() async throws {
    try await withLog { file, descriptor in
      let obstacle = path + "-elsewhere"
      // What is no file of ours is not written to.
      rename(path, obstacle)
      #expect(symlink("/nowhere", path) == 0 && mkdir(path + ".1", 0o700) == 0)
      for number in 0..<400 { logger(file).info("a line", metadata: ["number": "\(number)"]) }
      var info = stat()
      #expect(lines(obstacle).count == 401 && stat("/nowhere", &info) != 0)
      unlink(path)
      logger(file).info("afterwards")
      #expect(lines(path).count == 2 && information(path).st_mode & 0o777 == 0o600)
      #expect(fstat(descriptor, &info) == 0 && info.st_ino == information(path).st_ino)
    }
  }

  @Test("is nobody's whose standard error leads elsewhere")
  func elsewhere() async throws {
    try await withLog { _, descriptor in
      #expect(LogFile(continuing: path, on: [descriptor], limit: 10) != nil)
      #expect(LogFile(continuing: folder.path + "/other.log", on: [descriptor], limit: 10) == nil)
      let other = open("/dev/null", O_WRONLY)
      defer { close(other) }
      #expect(LogFile(continuing: path, on: [descriptor, other], limit: 10) == nil)
    }
  }
}
