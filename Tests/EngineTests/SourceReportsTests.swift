import CLinux
import Testing
import Wire

@testable import DataPath

/// Reports of one peer, whose packets come at some millisecond from some address.
private final class Reports {
  private var reports = SourceReports()

  func isDue(_ text: String, generation: UInt64 = 1, after milliseconds: Int) -> Bool {
    var address = clinux_address(SocketAddress(text)!)
    return reports.isDue(
      &address, generation: generation, at: Instant(nanoseconds: 5_000_000_000) + .milliseconds(milliseconds))
  }
}

@Suite("reports of a peer's other addresses")
struct SourceReportsTests {
  private let reports = Reports()

  @Test("of a stream from another address the first packet is reported, and one in each quarter of a second after it")
  func stream() {
    #expect((0..<1000).filter { reports.isDue("192.0.2.1:9", after: $0) } == [0, 250, 500, 750])
  }

  @Test("another address is reported at once, and so is the same one where the table has changed since")
  func changes() {
    #expect(reports.isDue("192.0.2.1:9", after: 0))
    #expect(reports.isDue("192.0.2.1:10", after: 1))
    #expect(reports.isDue("[2001:db8::1]:10", after: 2))
    #expect(!reports.isDue("[2001:db8::1]:10", after: 3))
    #expect(reports.isDue("[2001:db8::1]:10", generation: 2, after: 4))
    #expect(!reports.isDue("[2001:db8::1]:10", generation: 2, after: 253))
    #expect(reports.isDue("[2001:db8::1]:10", generation: 2, after: 254))
  }

  @Test(
    "of a flood from many addresses in turn four packets in a quarter of a second are reported",
    arguments: [2, 4, 999])
  func flood(addresses: Int) {
    // Ten packets each millisecond, for a second.
    let due = (0..<10_000).filter { reports.isDue("192.0.2.1:\($0 % addresses + 1)", after: $0 / 10) }
    #expect(due.count == 16)
    #expect(due.filter { $0 < 2500 }.count == 4)
  }

  @Test("so are four where each report makes another table")
  func tables() {
    var generation: UInt64 = 1
    for millisecond in 0..<1000 where reports.isDue("192.0.2.1:9", generation: generation, after: millisecond) {
      generation += 1
    }
    #expect(generation == 17)
  }

  @Test("after a flood the first packet tells where the peer is")
  func afterwards() {
    for packet in 0..<1000 { _ = reports.isDue("192.0.2.1:\(packet % 7 + 1)", after: packet / 5) }
    #expect(!reports.isDue("198.51.100.1:5", after: 249))
    #expect(reports.isDue("198.51.100.1:5", after: 250))
  }
}
