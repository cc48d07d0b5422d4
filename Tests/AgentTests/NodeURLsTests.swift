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
      NodeURLs.found(listeners: listeners, hostAddresses: hosts) == [
        "http://[2001:db8::5]:8788", "http://203.0.113.5:8787", "http://10.0.0.2:8787",
      ])
  }

  @Test("what a gateway maps here comes before what this machine has itself")
  func mapped() {
    #expect(
      NodeURLs.found(
        listeners: [SocketAddress("0.0.0.0:8787")!], mapped: [SocketAddress("198.51.100.7:9001")!],
        hostAddresses: [IPAddress("10.0.0.2")!]) == ["http://198.51.100.7:9001", "http://10.0.0.2:8787"])
  }

  @Test("a listener on one address advertises that one alone")
  func single() {
    #expect(
      NodeURLs.found(listeners: [SocketAddress("10.0.0.2:9000")!], hostAddresses: hosts)
        == ["http://10.0.0.2:9000"])
  }

  @Test("a listener on loopback has nothing to advertise")
  func loopback() {
    #expect(NodeURLs.found(listeners: [SocketAddress("127.0.0.1:9000")!], hostAddresses: hosts).isEmpty)
  }

  @Test(
    "what was asked for comes first and as it is, then what was found out, each once, and no more than a record names")
  func asked() {
    let found = NodeURLs.found(
      listeners: [SocketAddress("0.0.0.0:8787")!], mapped: [SocketAddress("198.51.100.7:9001")!], hostAddresses: hosts)
    #expect(
      NodeURLs.advertised(["https://dwn.example.org", "http://10.0.0.2:8787"], found: found) == [
        "https://dwn.example.org", "http://10.0.0.2:8787", "http://198.51.100.7:9001", "http://203.0.113.5:8787",
      ])
    let many = (1...40).map { "http://10.0.0.\($0):8787" }
    #expect(NodeURLs.advertised(["http://a"], found: many).count == NodeURLs.limit)
    #expect(NodeURLs.advertised(["http://a"], found: many).first == "http://a")
  }

  @Test(
    "a relay stands where was asked for; what was found helps where that is behind another server, or has one family")
  func relay() {
    let found = ["http://[2001:db8::5]:8787", "http://10.0.0.2:8787"]
    #expect(Advertising.relayURLs([], found: found) == found)
    #expect(Advertising.relayURLs(["https://dwn.example.org"], found: found) == found)
    #expect(
      Advertising.relayURLs(["http://dwn.example.org:8787"], found: found) == ["http://dwn.example.org:8787"])
    #expect(
      Advertising.relayURLs(["http://203.0.113.5:8787"], found: found) == [
        "http://203.0.113.5:8787", "http://[2001:db8::5]:8787",
      ])
  }

  @Test("knows when nobody elsewhere can reach it")
  func privateOnly() {
    #expect(NodeURLs.areAllPrivate(["http://10.0.0.2:8787", "http://[fd00::1]:8787"]))
    #expect(!NodeURLs.areAllPrivate(["http://10.0.0.2:8787", "http://203.0.113.5:8787"]))
    #expect(!NodeURLs.areAllPrivate(["http://dwn.example.org"]))
  }
}
