import Testing

@testable import Agent

@Suite("the end of a process")
struct RunningDaemonTests {
  private func stat(_ state: String, threads: Int, name: String = "meshd") -> String {
    "4711 (\(name)) \(state) 1 2 3 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 \(threads) 0 100 0 0\n"
  }

  @Test("is that of its last thread: one whose first has ended may still hold the lock")
  func lastThread() {
    #expect(RunningDaemon.hasEnded(stat: stat("Z", threads: 1)))
    #expect(RunningDaemon.hasEnded(stat: stat("X", threads: 1, name: "a) Z (b")))
    #expect(!RunningDaemon.hasEnded(stat: stat("Z", threads: 3)))
    #expect(!RunningDaemon.hasEnded(stat: stat("S", threads: 1, name: "a) Z 1")))
    #expect(!RunningDaemon.hasEnded(stat: "4711 (meshd) Z"))
    #expect(!RunningDaemon.hasEnded(stat: ""))
  }
}
