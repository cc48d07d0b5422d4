import Testing
import Wire

@testable import Agent

@Suite("URLs of the embedded node")
struct NodeURLsTests {
  private let hosts = ["203.0.113.5", "10.0.0.2", "2001:db8::5"].map { IPAddress($0)! }

  @Test("wildcard listeners give one URL for each address of their family: global IPv6, global IPv4, private")
  func wildcard() {
    let listeners = [SocketAddress("0.0.0.0:8787")!, SocketAddress("[::]:8788")!]
    #expect(
      NodeURLs.advertised([], listeners: listeners, hostAddresses: hosts) == [
        "http://[2001:db8::5]:8788", "http://203.0.113.5:8787", "http://10.0.0.2:8787",
      ])
  }

  @Test("what a gateway maps here comes before what this machine has itself")
  func mapped() {
    #expect(
      NodeURLs.advertised(
        [], listeners: [SocketAddress("0.0.0.0:8787")!], mapped: [SocketAddress("198.51.100.7:9001")!],
        hostAddresses: [IPAddress("10.0.0.2")!]) == ["http://198.51.100.7:9001", "http://10.0.0.2:8787"])
  }

  @Test("a listener on one address advertises that one alone")
  func single() {
    #expect(
      NodeURLs.advertised([], listeners: [SocketAddress("10.0.0.2:9000")!], hostAddresses: hosts)
        == ["http://10.0.0.2:9000"])
  }

  @Test("a listener on loopback has nothing to advertise")
  func loopback() {
    #expect(NodeURLs.advertised([], listeners: [SocketAddress("127.0.0.1:9000")!], hostAddresses: hosts).isEmpty)
  }

  @Test("what was asked for is taken as it is")
  func asked() {
    #expect(
      NodeURLs.advertised(["https://dwn.example.org"], listeners: [], hostAddresses: hosts) == [
        "https://dwn.example.org"
      ])
  }

  @Test("knows when nobody elsewhere can reach it")
  func privateOnly() {
    #expect(NodeURLs.areAllPrivate(["http://10.0.0.2:8787", "http://[fd00::1]:8787"]))
    #expect(!NodeURLs.areAllPrivate(["http://10.0.0.2:8787", "http://203.0.113.5:8787"]))
    #expect(!NodeURLs.areAllPrivate(["http://dwn.example.org"]))
  }
}
