import Testing
import Wire

@testable import DWNNode

/// Which connection has a place when there are too few, as a value.
@Suite struct ConnectionPlacesTests {
  private static func time(_ seconds: Int) -> Instant { Instant(nanoseconds: 0) + .seconds(seconds) }

  @Test("the connection that has waited longest gives way to a new one, and none that is being served")
  func eviction() {
    var places = ConnectionPlaces<Int>(maximum: 3, maximumPerNetwork: 3)
    for id in 1...3 { #expect(places.admit(id, of: nil, now: Self.time(id)) == .admitted(evicting: nil)) }
    places.setIdle(1, since: nil)
    #expect(places.admit(4, of: nil, now: Self.time(4)) == .admitted(evicting: 2))
    places.setIdle(1, since: Self.time(5))
    #expect(places.admit(5, of: nil, now: Self.time(6)) == .admitted(evicting: 3))
    #expect(places.admit(6, of: nil, now: Self.time(7)) == .admitted(evicting: 4))
    for id in [1, 5, 6] { places.setIdle(id, since: nil) }
    #expect(places.admit(7, of: nil, now: Self.time(8)) == .refused)
    places.leave(5)
    #expect(places.admit(8, of: nil, now: Self.time(9)) == .admitted(evicting: nil))
    #expect(places.count == 3)
  }

  @Test("a network with as many as it may have loses one of its own")
  func perNetwork() {
    var places = ConnectionPlaces<Int>(maximum: 8, maximumPerNetwork: 2)
    _ = places.admit(1, of: 10, now: Self.time(1))
    _ = places.admit(2, of: 20, now: Self.time(2))
    _ = places.admit(3, of: 20, now: Self.time(3))
    #expect(places.admit(4, of: 20, now: Self.time(4)) == .admitted(evicting: 2))
    places.setIdle(3, since: nil)
    places.setIdle(4, since: nil)
    #expect(places.admit(5, of: 20, now: Self.time(5)) == .refused)
    #expect(places.admit(6, of: 30, now: Self.time(6)) == .admitted(evicting: nil))
  }

  @Test("the last places are for networks that have none, and for this machine")
  func reserve() {
    var places = ConnectionPlaces<Int>(maximum: 16, maximumPerNetwork: 16)
    for id in 1...14 {
      #expect(places.admit(id, of: 10, now: Self.time(id)) == .admitted(evicting: nil))
      places.setIdle(id, since: nil)
    }
    #expect(places.admit(15, of: 10, now: Self.time(15)) == .refused)
    #expect(places.admit(16, of: 20, now: Self.time(16)) == .admitted(evicting: nil))
    #expect(places.admit(17, of: 10, now: Self.time(17)) == .admitted(evicting: 16), "it waits, and they do not")
    #expect(places.admit(18, of: nil, now: Self.time(18)) == .admitted(evicting: nil))
    #expect(places.count == 16)
  }

  @Test("a server without places has none, and who leaves twice leaves once")
  func edges() {
    var none = ConnectionPlaces<Int>(maximum: 0, maximumPerNetwork: 1)
    #expect(none.admit(1, of: nil, now: Self.time(1)) == .refused)
    var places = ConnectionPlaces<Int>(maximum: 2, maximumPerNetwork: 2)
    _ = places.admit(1, of: 10, now: Self.time(1))
    _ = places.admit(2, of: 10, now: Self.time(2))
    places.leave(1)
    places.leave(1)
    #expect(places.admit(3, of: 10, now: Self.time(3)) == .admitted(evicting: nil))
    places.setIdle(3, since: nil)
    #expect(places.admit(4, of: 10, now: Self.time(4)) == .admitted(evicting: 2))
  }
}
