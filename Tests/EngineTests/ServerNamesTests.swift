import Testing
import Wire

@testable import Engine

@Suite("names of servers")
struct ServerNamesTests {
  private let start = Instant(nanoseconds: 1_000_000_000_000)
  private let home = IPAddress("203.0.113.1")!
  private let moved = IPAddress("203.0.113.2")!
  private let name = "anchor.example.org"

  private func use(_ names: inout ServerNames, full: Bool = true, after: Duration) -> [String] {
    names.use([name], isFull: full, at: start + after)
  }

  /// What is news in this answer.
  @discardableResult
  private func take(_ names: inout ServerNames, _ addresses: [IPAddress], after: Duration) -> [IPAddress]? {
    names.take(addresses, for: name, at: start + after) ? names.addresses(of: name) : nil
  }

  @Test("a server has a port, whether a name or an address stands before it")
  func form() {
    for text in ["stun.example.org:3478", "192.0.2.1:3478", "[2001:db8::1]:3478"] {
      #expect(STUNHost(text)?.description == text)
    }
    for text in ["stun.example.org:0", "192.0.2.1:0", "[2001:db8::1]:0", "stun.example.org", "192.0.2.1", ":3478"] {
      #expect(STUNHost(text) == nil, "\(text)")
    }
  }

  @Test("a name is asked for again with each full check, and what it stands for now is news")
  func moves() {
    var names = ServerNames()
    #expect(use(&names, after: .zero) == [name])
    #expect(use(&names, after: .seconds(1)).isEmpty, "it is being asked for")
    #expect(take(&names, [home], after: .seconds(1)) == [home])
    #expect(use(&names, after: .seconds(2)).isEmpty, "the check that its answer begins asks for nothing")
    #expect(use(&names, full: false, after: .seconds(300)).isEmpty)
    #expect(use(&names, after: .seconds(300)) == [name])
    #expect(names.addresses(of: name) == [home], "as long as nothing else is known")
    #expect(take(&names, [moved], after: .seconds(301)) == [moved])
  }

  @Test("the same addresses in another order are no news, and no answer takes none away")
  func noNews() {
    var names = ServerNames()
    _ = use(&names, after: .zero)
    take(&names, [home, moved], after: .zero)
    _ = use(&names, after: .seconds(300))
    #expect(take(&names, [moved, home], after: .seconds(300)) == nil)
    _ = use(&names, after: .seconds(600))
    #expect(take(&names, [], after: .seconds(600)) == nil)
    #expect(names.addresses(of: name) == [home, moved])
  }

  @Test("a name that is not known is asked for once a minute, whatever begins a check")
  func failures() {
    var names = ServerNames()
    var asked = 0
    for second in 0..<180 {
      let now = Duration.seconds(second)
      asked += use(&names, full: second % 2 == 0, after: now).count
      take(&names, [], after: now)
      #expect(names.areUnknown)
    }
    #expect(asked == 3)
  }

  @Test("another network is asked at once, also when the former one has not answered yet")
  func otherNetwork() {
    var names = ServerNames()
    _ = use(&names, after: .zero)
    take(&names, [home], after: .zero)
    names.forget()
    #expect(use(&names, after: .seconds(1)) == [name])
    names.forget()
    #expect(use(&names, after: .seconds(2)).isEmpty)
    #expect(take(&names, [], after: .seconds(3)) == nil)
    #expect(names.next(at: start + .seconds(3)) == [name])
  }

  @Test("eight are asked for at a time, and nothing is kept of names that nobody uses")
  func bounds() {
    var names = ServerNames()
    let many = (100..<200).map { "\($0).example.org" }
    #expect(names.use(many, isFull: true, at: start).count == ServerNames.maximumAtOnce)
    #expect(names.next(at: start).isEmpty)
    var asked = ServerNames.maximumAtOnce
    for name in many where names.take([home], for: name, at: start) { asked += names.next(at: start).count }
    #expect(asked == ServerNames.maximum)
    _ = names.use([], isFull: true, at: start)
    let kept = many.filter { !names.addresses(of: $0).isEmpty }
    #expect(kept.isEmpty)
  }
}
