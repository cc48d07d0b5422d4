import Foundation
import Glibc
import Testing
import Wire

@testable import Agent

@Suite("Processes")
struct ProcessesTests {
  @Test("a process that ended counts as ended also before anybody collects it")
  func zombie() throws {
    var child: pid_t = 0
    var argv: [UnsafeMutablePointer<CChar>?] = [strdup("true"), nil]
    defer { for argument in argv { free(argument) } }
    try #require(posix_spawnp(&child, "true", nil, nil, &argv, environ) == 0)
    // Waits for its end and leaves it uncollected.
    var info = siginfo_t()
    try #require(waitid(P_PID, id_t(child), &info, Int32(WEXITED | WNOWAIT)) == 0)
    #expect(kill(child, 0) == 0)
    #expect(RunningDaemon.hasEnded(child))
    #expect(waitpid(child, nil, 0) == child)
    #expect(RunningDaemon.hasEnded(child))
    #expect(!RunningDaemon.hasEnded(getpid()))
  }

  @Test("a daemon that is starting is neither running nor absent")
  func starting() throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    let before = try RunningDaemon(directory)
    #expect(before == nil)
    let lock = try #require(try DaemonLock(directory))
    #expect(throws: AgentError.self) { _ = try RunningDaemon(directory) }
    withExtendedLifetime(lock) {}
  }

  @Test(
    "who holds a directory is known by the lock and the number in it, and a number that was left behind names nobody")
  func holder() throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    #expect(try DaemonLock.holder(of: directory) == .nobody)
    #expect(!FileManager.default.fileExists(atPath: directory.file("meshd.lock")))
    var lock = try DaemonLock(directory, for: .daemon)
    #expect(lock != nil)
    #expect(try DaemonLock.holder(of: directory) == .daemon(getpid()))
    let hung = try #require(try RunningDaemon(directory))
    #expect(hung.processID == getpid())
    lock = nil
    #expect(try DaemonLock.holder(of: directory) == .nobody)
    lock = try DaemonLock(directory, for: .node)
    #expect(try DaemonLock.holder(of: directory) == .node(getpid()))
    #expect(throws: AgentError.nodeRunning(directory: directory.path, process: getpid())) {
      _ = try RunningDaemon(directory)
    }
    lock = nil
    lock = try DaemonLock(directory)
    #expect(try DaemonLock.holder(of: directory) == .somebody)
    try "1\n".write(toFile: directory.file("meshd.lock"), atomically: false, encoding: .utf8)
    #expect(try DaemonLock.holder(of: directory) == .somebody)
    withExtendedLifetime(lock) {}
  }

  @Test("a start is reported up to its end, and the pipe is closed then")
  func report() throws {
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    defer { close(ends[0]) }
    let report = StartupReport(descriptor: ends[1])
    report.progress("the weather")
    report.failed("rain")
    report.failed("snow")
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while case let count = read(ends[0], &buffer, buffer.count), count > 0 { bytes += buffer[..<count] }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    #expect(lines.count == 2)
    #expect(lines.last?.contains("rain") == true)
  }
}
