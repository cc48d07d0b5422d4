import Cryptography
import Testing
import Wire

@testable import Agent

@Suite("what a daemon does again and again")
struct DaemonPaceTests {
  @Test("a daemon that starts is ready within a moment of what it waits for, and one that waits for days hardly looks")
  func startup() {
    var (waited, looks): (Duration, Int) = (.zero, 0)
    while waited < .seconds(86_400) {
      let pause = StartupPace.pause(after: waited)
      #expect(pause <= .seconds(1))
      if waited < .seconds(10) { #expect(pause <= .milliseconds(25)) }
      waited += pause
      looks += 1
    }
    #expect(looks < 87_000)
  }

  @Test("of a peer that moves on and on the log has a line a second, and of each other peer its own")
  func moves() {
    var moves = PeerMoves()
    let start = Instant(nanoseconds: 5_000_000_000)
    let keys = (0..<3).map { X25519PublicKey([UInt8](repeating: UInt8($0 + 1), count: 32))! }
    func isNews(_ key: Int, after milliseconds: Int) -> Bool {
      moves.isNews(keys[key], at: start + .milliseconds(milliseconds))
    }
    #expect((0..<10_000).filter { isNews(0, after: $0 / 2) } == [0, 2000, 4000, 6000, 8000])
    #expect(isNews(1, after: 4999) && isNews(2, after: 4999))
    #expect(!isNews(0, after: 4999) && !isNews(1, after: 5000) && !isNews(2, after: 5998))
    #expect((0..<3).allSatisfy { isNews($0, after: 9000) })
  }
}
