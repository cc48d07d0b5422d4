import Testing
import Wire

@testable import Control

@Suite("When and what this machine publishes of its addresses")
struct PublicationTests {
  private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: 0) + .milliseconds(milliseconds) }
  private func address(_ text: String) -> SocketAddress { SocketAddress(text)! }

  @Test("nothing is written while nothing changes")
  func idle() {
    var schedule = PublicationSchedule(now: at(0))
    #expect(schedule.deadline(at: at(1000)) == nil)
    let taken = schedule.take(at: at(1000))
    #expect(!taken)
  }

  @Test("a change is written after 250 ms of quiet")
  func debounce() {
    var schedule = PublicationSchedule(now: at(0))
    schedule.changed(at: at(0))
    schedule.changed(at: at(100))
    #expect(schedule.deadline(at: at(100)) == at(350))
    let early = schedule.take(at: at(349))
    #expect(!early)
    let due = schedule.take(at: at(350))
    #expect(due)
    #expect(schedule.deadline(at: at(350)) == nil)
  }

  @Test("addresses that never stop changing are written once a second, then once in ten")
  func flapping() {
    var schedule = PublicationSchedule(now: at(0))
    var written: [Int64] = []
    for time in stride(from: Int64(0), through: 60_000, by: 50) {
      schedule.changed(at: at(time))
      if schedule.take(at: at(time)) { written.append(time) }
    }
    #expect(written.count <= 5 + 6)
    #expect(written.count >= 9)
    #expect(written.prefix(2) == [1000, 2050])
  }

  @Test("the bucket holds five and gets one more every ten seconds")
  func bucket() {
    var bucket = TokenBucket(capacity: 5, interval: .seconds(10), now: at(0))
    for _ in 0..<5 {
      let taken = bucket.take(at: at(0))
      #expect(taken)
    }
    let sixth = bucket.take(at: at(9_999))
    #expect(!sixth)
    #expect(bucket.available(at: at(9_999)) == at(10_000))
    let later = bucket.take(at: at(10_000))
    #expect(later)
    #expect(bucket.available(at: at(10_000)) == at(20_000))
  }

  @Test("loopback, link-local, multicast, port 0 and the mesh's own addresses are never published")
  func hygiene() {
    let mesh = [IPPrefix("10.200.0.0/16")!, IPPrefix("fd0d:e100:d3c5::/48")!]
    let addresses = AdvertisedAddresses(
      [
        "127.0.0.1:1", "[::1]:1", "169.254.1.1:1", "[fe80::1]:1", "224.0.0.1:1", "[ff02::1]:1", "10.200.3.4:1",
        "[fd0d:e100:d3c5:1::5]:1", "0.0.0.0:1", "255.255.255.255:1", "192.0.2.1:0",
      ].map { address($0) }, meshPrefixes: mesh)
    #expect(addresses.isEmpty)
  }

  @Test("global addresses are public and private ones local, in their order, at most 8 and 12")
  func bounds() {
    let input = (0..<30).flatMap { [address("192.168.1.\($0 + 1):5"), address("203.0.113.\($0 + 1):5")] }
    let addresses = AdvertisedAddresses(input, meshPrefixes: [])
    #expect(addresses.global == (0..<8).map { address("203.0.113.\($0 + 1):5") })
    #expect(addresses.local == (0..<12).map { address("192.168.1.\($0 + 1):5") })
  }

  @Test("an IPv4-mapped address is published as IPv4")
  func mapped() {
    let addresses = AdvertisedAddresses([address("[::ffff:192.168.1.1]:7")], meshPrefixes: [])
    #expect(addresses.local == [address("192.168.1.1:7")])
  }

  @Test("the order of the addresses alone is no change")
  func order() {
    let a = AdvertisedAddresses([address("192.168.1.1:7"), address("192.168.1.2:7")], meshPrefixes: [])
    let b = AdvertisedAddresses([address("192.168.1.2:7"), address("192.168.1.1:7")], meshPrefixes: [])
    #expect(a.says(theSameAs: b))
  }
}
