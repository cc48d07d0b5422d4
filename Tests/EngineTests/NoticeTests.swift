import TestSupport
import Testing
import Wire
import WireGuard

@testable import DataPath

@Suite("protocol 99, which is meshd's own")
struct NoticeTests {
  @Test(
    "goes to the control side and never into the system, whatever the filter says",
    arguments: [("10.200.0.1", "10.200.0.2"), ("fd01::1", "fd02::2")])
  func toControl(from: String, to: String) throws {
    let link = try Link((from, to))
    link.publishBoth(filter: .denyAll)
    let notice = SamplePacket.make(from: from, to: to, protocol: 99, body: [1, 2, 3])
    link.a.send(notice)
    #expect(link.b.collect { !link.b.notices.isEmpty })
    #expect(link.b.notices.first?.packet == notice && link.b.notices.first?.peer == PeerID(1))
    let long = SamplePacket.make(from: from, to: to, protocol: 99, body: [UInt8](repeating: 0, count: 200))
    link.a.send(long)
    #expect(link.b.sees { link.b.dataPath.drops(.noticeTooLong) == 1 })
    #expect(link.b.receive(within: 50) == nil)
  }
}
