import Cryptography
import Mesh
import Testing
import Wire

@testable import Agent

@Suite("What status says of the relay that this machine runs")
struct RelayServerStatusTests {
  private func status(
    _ addresses: String..., recordedAs: UInt16? = nil, isRecordedHere: Bool = false
  ) throws -> RelayServerStatus {
    let certificate = try #require(Bytes32([UInt8](repeating: 7, count: 32)))
    let hosts = addresses.compactMap { RelayHost($0) }
    var offer = hosts.first.map { RelayOffer(host: $0, port: 8788, certSHA256: certificate) }
    if hosts.count > 1 { offer?.ipv4 = IPAddress(addresses[1]) }
    return RelayServerStatus(
      listeners: [try #require(SocketAddress("0.0.0.0:8788"))], stunPorts: [8788, 8789], offer: offer,
      recordedAs: recordedAs, isRecordedHere: isRecordedHere)
  }

  @Test("one that the records name is told with its number, and nothing is wrong")
  func recorded() throws {
    let json = try status("11.0.0.2", recordedAs: 3).json
    #expect(json["listen"] == ["0.0.0.0:8788"] && json["stunPorts"] == [8788, 8789])
    #expect(json["advertise"] == ["11.0.0.2:8788"] && json["recordedAs"] == 3 && json["problem"] == nil)
    let both = try status("relay.example.com", "11.0.0.2").json
    #expect(both["advertise"] == ["relay.example.com:8788", "11.0.0.2:8788"])
  }

  @Test("one without an address that counts for everybody says so at once, and what gives it one")
  func unreachable() throws {
    for status in [try status(), try status("10.0.0.2")] {
      #expect(status.addressProblem?.contains("--relay-advertise") == true)
      #expect(status.problem == status.addressProblem)
    }
    // Whoever writes the records needs no trial.
    #expect(try status("10.0.0.2", isRecordedHere: true).addressProblem == nil)
    #expect(try status("relay.example.com").addressProblem == nil)
  }

  @Test("one that the anchor has not reached says where it has to be reached")
  func notReached() throws {
    let status = try status("11.0.0.2")
    #expect(status.addressProblem == nil)
    #expect(status.problem?.contains("11.0.0.2:8788") == true)
  }
}
