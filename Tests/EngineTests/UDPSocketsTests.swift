import Testing
import Wire

@testable import Engine

@Suite("UDP sockets")
struct UDPSocketsTests {
  @Test("both families get the same port")
  func samePort() throws {
    let sockets = try UDPSockets(port: nil, preferred: 0)
    print(sockets.port, sockets.ipv4 as Any, sockets.ipv6 as Any)
    #expect(sockets.port > 0)
  }

  @Test("a port that somebody has is refused when it is asked for, and passed over when it is only preferred")
  func takenPort() throws {
    let first = try UDPSockets(port: nil, preferred: 0)
    #expect(throws: EngineError.portInUse(first.port)) { try UDPSockets(port: first.port, preferred: 0) }
    let second = try UDPSockets(port: nil, preferred: first.port)
    #expect(second.port != first.port && second.port > 0)
  }
}
