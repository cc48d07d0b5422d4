import Testing
import Wire

@testable import DWNNode

/// What each network and each site has of what all share.
@Suite struct CallerSharesTests {
  /// Whether each in turn gets its amount.
  private func take(_ shares: inout CallerShares, _ wishes: (Int, String)...) -> [Bool] {
    wishes.map { shares.take($0.0, for: Caller(IPAddress($0.1))) }
  }

  @Test("no network takes more than an eighth, and no site more than a quarter")
  func parts() {
    var shares = CallerShares(of: 80)
    let first = take(&shares, (10, "192.0.2.1"), (1, "192.0.2.1"), (10, "192.0.2.2"), (1, "192.0.2.3"))
    #expect(first == [true, false, true, false], "the site has its quarter with the second")
    let networks = take(&shares, (10, "2001:db8::1"), (1, "2001:db8::2"))
    #expect(networks == [true, false], "the same /64")
    let sites = take(&shares, (10, "2001:db8:0:1::1"), (1, "2001:db8:0:2::1"))
    #expect(sites == [true, false], "the same /48")
    let here = take(&shares, (40, "127.0.0.1"), (1, "198.51.100.1"))
    #expect(here == [true, false], "this machine is bound by the whole alone")
  }

  @Test("what is larger than a part fits where its site has nothing else, and what was given back is free")
  func large() {
    var shares = CallerShares(of: 80)
    let before = take(&shares, (60, "192.0.2.1"), (1, "192.0.2.2"), (21, "198.51.100.1"))
    #expect(before == [true, false, false])
    shares.give(59, for: Caller(IPAddress("192.0.2.1")))
    let after = take(&shares, (9, "192.0.2.1"))
    #expect(after == [true])
    shares.give(10, for: Caller(IPAddress("192.0.2.1")))
    #expect(shares.taken == 0 && shares.count == 0, "nobody is remembered who has nothing")
  }

  @Test("what is large leaves a quarter of a budget to what is small")
  func small() {
    let budget = ByteBudget(80, small: 4)
    let callers = (1...4).map { Caller(IPAddress("203.0.\($0).1")) }
    #expect(callers.map { budget.take(20, for: $0) } == [true, true, true, false])
    #expect(budget.take(4, for: callers[3]) && !budget.take(5, for: callers[3]))
    budget.give(20, for: callers[0])
    #expect(budget.take(5, for: callers[0]))
  }
}
