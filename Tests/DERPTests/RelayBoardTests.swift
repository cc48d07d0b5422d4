import Cryptography
import NIOCore
import Testing
import Wire

@testable import DERP

@Suite("which relay a packet goes to")
struct RelayBoardTests {
  private let peer = X25519PrivateKey(random: SystemRandom()).publicKey
  private let start = Instant(nanoseconds: 1_000_000_000)

  /// Relays 1 to 3; home 1, standby 2. Connections are known by their numbers.
  private func board(connected: [UInt16] = []) -> RelayBoard<Int> {
    var board = RelayBoard<Int>()
    for id in 1...3 as ClosedRange<UInt16> { board.add(id) }
    (board.home, board.standby) = (1, 2)
    for id in connected { _ = board.connected(id, Int(id)) }
    return board
  }

  private func take(
    _ board: inout RelayBoard<Int>, _ relays: [UInt16], _ text: String = "x", after: Duration = .zero
  ) -> String {
    switch board.take(ByteBuffer(string: text), to: peer, relays: relays, at: start + after) {
    case .send(let link, let wanted): wanted.isEmpty ? "\(link)" : "\(link), connect \(wanted)"
    case .waits(let wanted): "connect \(wanted)"
    case .dropped: "dropped"
    }
  }

  @Test("the first of the peer's two that is connected")
  func firstThatIsUp() {
    var board = board(connected: [2, 3])
    #expect(take(&board, [2, 3]) == "2")
    #expect(take(&board, [1, 3]) == "3")
    board.disconnected(2)
    #expect(take(&board, [2, 3]) == "3")
  }

  @Test("of two that are not connected both are connected with, once, and what waits keeps its order")
  func waits() {
    var board = board()
    #expect(take(&board, [1, 3], "a") == "connect [1, 3]")
    #expect(take(&board, [1, 3], "b") == "connect []")
    #expect(board.connected(3, 3).isEmpty)
    #expect(take(&board, [1, 3], "c") == "3")
    #expect(board.connected(1, 1).map { String(buffer: $0.bytes) } == ["a", "b"])
  }

  @Test(
    "who has something for a relay does not wait for a next try that is far away, and does not make tries out of packets"
  )
  func wantedAgain() {
    var board = board()
    #expect(take(&board, [1]) == "connect [1]")
    for id in 1...3 as ClosedRange<UInt16> { board.failed(id) }
    board.rest(1, since: start + .seconds(10))
    #expect(take(&board, [1], after: .seconds(14)) == "connect []")
    #expect(take(&board, [1], after: .seconds(15)) == "connect [1]")
    #expect(take(&board, [1], after: .seconds(16)) == "connect []", "that try goes on")
    board.rest(1, since: start + .seconds(30))
    board.rest(1, since: nil)
    #expect(take(&board, [1], after: .seconds(60)) == "connect []", "so does that which began by itself")
    board.rest(1, since: start + .seconds(70))
    _ = board.connected(1, 1)
    board.disconnected(1)
    #expect(take(&board, [1], after: .seconds(90)) == "connect []", "a connection that breaks is made anew by itself")
  }

  @Test("what waits is bounded, and the oldest goes")
  func bounded() {
    var board = board()
    for number in 0..<100 { _ = take(&board, [1], "\(number)") }
    let waiting = board.connected(1, 1).map { String(buffer: $0.bytes) }
    #expect(waiting.count == 32 && waiting.last == "99")
  }

  @Test("a relay that says that the peer is not there is passed over for a while, unless the peer is heard over it")
  func absent() {
    var board = board(connected: [1, 2])
    board.isGone(peer, from: 1, at: start)
    #expect(take(&board, [1, 2]) == "2")
    #expect(take(&board, [1]) == "1")
    #expect(take(&board, [1, 2], after: .seconds(3)) == "1")
    board.isGone(peer, from: 1, at: start)
    board.heard(peer, over: 1)
    #expect(take(&board, [1, 2]) == "1")
  }

  @Test("a relay where a peer never is gets ever fewer of its packets, as long as there is another")
  func absentForGood() {
    var board = board(connected: [1, 2])
    var lost = 0
    // A packet each second, of which the relay says that it found nobody.
    for second in 0..<600 {
      let now = Duration.seconds(second)
      guard take(&board, [1, 2], after: now) == "1" else { continue }
      lost += 1
      board.isGone(peer, from: 1, at: start + now)
    }
    #expect(lost < 12)
    board.disconnected(2)
    #expect(take(&board, [1, 2], after: .seconds(600)) == "connect [2]")
    board.failed(2)
    #expect(take(&board, [1, 2], after: .seconds(600)) == "1", "better there than nowhere")
  }

  @Test("a peer without known relays: where it was heard, else home, standby and the others in turn")
  func search() {
    var board = board(connected: [1, 2, 3])
    #expect(take(&board, []) == "1")
    #expect(take(&board, [], after: .milliseconds(100)) == "1")
    #expect(take(&board, [], after: .milliseconds(250)) == "2")
    #expect(take(&board, [9], after: .milliseconds(500)) == "3")
    board.heard(peer, over: 2)
    #expect(take(&board, [], after: .seconds(2)) == "2")
  }

  @Test("a peer of which all relays fail is looked for at those that do not, while they are tried")
  func searchesOn() {
    var board = board(connected: [2, 3])
    #expect(take(&board, [1]) == "connect [1]")
    board.failed(1)
    board.rest(1, since: start)
    #expect(take(&board, [1], after: .seconds(1)) == "2", "own standby")
    #expect(take(&board, [1], after: .milliseconds(1250)) == "3")
    board.heard(peer, over: 3)
    #expect(take(&board, [1], after: .seconds(2)) == "3", "it is there")
    board.isGone(peer, from: 3, at: start + .seconds(4))
    #expect(take(&board, [1], after: .seconds(5)) == "2, connect [1]")
    #expect(board.isWanted(1, at: start + .seconds(30)), "it may be back before the peer is found")
    board.disconnected(2)
    board.failed(2)
    #expect(take(&board, [1, 2], after: .seconds(6)) == "3, connect [2]")
    board.disconnected(3)
    #expect(take(&board, [1, 2], after: .seconds(7)) == "connect [3]")
    board.failed(3)
    #expect(take(&board, [1, 2], after: .seconds(8)) == "connect []", "nothing is left to look at")
  }

  @Test("without any relay packets are dropped")
  func none() {
    var board = RelayBoard<Int>()
    #expect(take(&board, [1]) == "dropped")
  }

  @Test("a relay that fails is passed over, and is tried for half a minute after its last packet")
  func failing() {
    var board = board()
    board.failed(1)
    #expect(take(&board, [1, 2], "a") == "connect [1, 2]")
    #expect(board.connected(2, 2).map { String(buffer: $0.bytes) } == ["a"])
    board.disconnected(2)
    #expect(board.isWanted(2, at: start + .seconds(29)) && !board.isWanted(2, at: start + .seconds(31)))
  }
}
