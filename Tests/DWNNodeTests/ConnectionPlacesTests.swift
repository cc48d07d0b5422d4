import Testing
import Wire

@testable import DWNNode

/// Which connection has a place when there are too few, as a value.
@Suite struct ConnectionPlacesTests {
  private typealias Places = ConnectionPlaces<Int>

  /// A machine whose network is nobody else's.
  private static func machine(_ number: Int, site: Int = 0) -> Caller {
    Caller(IPAddress("10.0.\(site).\(number)"))
  }

  private static let here = Caller(nil)

  @Test("the connection that has waited longest gives way to a new one, and none that is being served")
  func eviction() {
    var places = Places(maximum: 3, perNetwork: 3)
    for id in 1...3 { #expect(places.admit(id, of: Self.here) == .admitted(evicting: nil)) }
    places.set(1, .served)
    #expect(places.admit(4, of: Self.here) == .admitted(evicting: 2))
    places.set(1, .waiting)
    #expect(places.admit(5, of: Self.here) == .admitted(evicting: 3))
    #expect(places.admit(6, of: Self.here) == .admitted(evicting: 4))
    for id in [1, 5, 6] { places.set(id, .served) }
    #expect(places.admit(7, of: Self.here) == .refused)
    places.leave(5)
    #expect(places.admit(8, of: Self.here) == .admitted(evicting: nil))
    #expect(places.count == 3)
  }

  @Test("who follows with a signature alone stays longer than who waits, and gives way all the same")
  func standings() {
    var places = Places(maximum: 3, perNetwork: 3)
    for id in 1...3 { _ = places.admit(id, of: Self.here) }
    places.set(1, .signed)
    places.set(2, .served)
    #expect(places.admit(4, of: Self.here) == .admitted(evicting: 3))
    places.set(4, .signed)
    #expect(places.admit(5, of: Self.here) == .admitted(evicting: 1))
    #expect(places.admit(6, of: Self.here) == .admitted(evicting: 5))
    places.set(6, .served)
    #expect(places.admit(7, of: Self.here) == .admitted(evicting: 4))
    places.set(7, .served)
    #expect(places.admit(8, of: Self.here) == .refused)
  }

  @Test("a network with as many as it may have loses one of its own")
  func perNetwork() {
    var places = Places(maximum: 8, perNetwork: 2)
    _ = places.admit(1, of: Self.machine(10))
    _ = places.admit(2, of: Self.machine(20))
    _ = places.admit(3, of: Self.machine(20))
    #expect(places.admit(4, of: Self.machine(20)) == .admitted(evicting: 2))
    places.set(3, .served)
    places.set(4, .served)
    #expect(places.admit(5, of: Self.machine(20)) == .refused)
    #expect(places.admit(6, of: Self.machine(30)) == .admitted(evicting: nil))
  }

  @Test("whoever has many networks of one site has the site's places, and no more", arguments: [4, 6])
  func perSite(family: Int) {
    func caller(_ network: Int, site: Int) -> Caller {
      family == 4 ? Self.machine(network, site: site) : Caller(IPAddress("2001:db8:\(site):\(network)::1"))
    }
    var places = Places(maximum: 100, perNetwork: 2, perSite: 3)
    for network in 1...3 { #expect(places.admit(network, of: caller(network, site: 1)) == .admitted(evicting: nil)) }
    #expect(places.admit(4, of: caller(4, site: 1)) == .admitted(evicting: 1))
    for id in 2...4 { places.set(id, .served) }
    #expect(places.admit(5, of: caller(5, site: 1)) == .refused)
    #expect(places.admit(6, of: caller(5, site: 2)) == .admitted(evicting: nil))
    places.leave(2)
    #expect(places.admit(7, of: caller(6, site: 1)) == .admitted(evicting: nil))
  }

  @Test("the last places are for networks that have none, and for this machine")
  func reserve() {
    var places = Places(maximum: 16, perNetwork: 16)
    for id in 1...14 {
      #expect(places.admit(id, of: Self.machine(10)) == .admitted(evicting: nil))
      places.set(id, .served)
    }
    #expect(places.admit(15, of: Self.machine(10)) == .refused)
    #expect(places.admit(16, of: Self.machine(20)) == .admitted(evicting: nil))
    #expect(places.admit(17, of: Self.machine(10)) == .admitted(evicting: 16), "it waits, and they do not")
    #expect(places.admit(18, of: Self.here) == .admitted(evicting: nil))
    #expect(places.count == 16)
  }

  @Test("a server without places has none, and who leaves twice leaves once")
  func edges() {
    var none = Places(maximum: 0, perNetwork: 1)
    #expect(none.admit(1, of: Self.here) == .refused)
    var places = Places(maximum: 2, perNetwork: 2)
    _ = places.admit(1, of: Self.machine(10))
    _ = places.admit(2, of: Self.machine(10))
    places.leave(1)
    places.leave(1)
    #expect(places.admit(3, of: Self.machine(10)) == .admitted(evicting: nil))
    places.set(3, .served)
    #expect(places.admit(4, of: Self.machine(10)) == .admitted(evicting: 2))
  }

  @Test("whoever changes often is found where it stands now, among thousands")
  func manyChanges() {
    var places = Places(maximum: 5_000, perNetwork: 5_000)
    for id in 0..<5_000 { _ = places.admit(id, of: Self.here) }
    for _ in 0..<4 {
      for id in 0..<5_000 {
        places.set(id, .served)
        places.set(id, id % 2 == 0 ? .waiting : .signed)
      }
    }
    let gone = (5_000..<10_000).map { places.admit($0, of: Self.here) }
    let even = stride(from: 0, to: 5_000, by: 2)
    #expect(gone.prefix(2_500).elementsEqual(even.map { .admitted(evicting: $0) }))
    #expect(gone[2_500] == .admitted(evicting: 5_000), "who has only just come waits, and they follow something")
  }
}
