import CMnl
import Glibc
import TestSupport
import Testing
import Wire

@testable import Engine

@Suite("netlink")
struct NetlinkTests {
  /// Without the sequence number, which is the sender's.
  private func hex(_ request: borrowing NetlinkRequest) -> String { Hex.encode(Array(request.bytes)) }

  @Test("an IPv4 address is one message: header, ifaddrmsg, two attributes")
  func address4() {
    let request = InterfaceSettings.address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, IPPrefix("10.200.0.1/32")!, 7)
    #expect(
      hex(request)
        == "28000000" + "1400" + "0106" + "00000000" + "00000000"
        + "02200000" + "07000000"
        + "08000200" + "0ac80001" + "08000100" + "0ac80001")
  }

  @Test("an IPv6 address asks for no duplicate detection")
  func address6() {
    let request = InterfaceSettings.address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, IPPrefix("fd00::1/128")!, 7)
    let ip = "fd000000000000000000000000000001"
    #expect(
      hex(request)
        == "48000000" + "1400" + "0106" + "00000000" + "00000000"
        + "0a800000" + "07000000"
        + "14000200" + ip + "14000100" + ip + "08000800" + "02000000")
  }

  @Test("a route names destination and interface, in the main table")
  func route() {
    let request = InterfaceSettings.route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, IPPrefix("10.200.0.2/32")!, 7)
    #expect(
      hex(request)
        == "2c000000" + "1800" + "0106" + "00000000" + "00000000"
        + "02200000" + "fe04fd01" + "00000000"
        + "08000100" + "0ac80002" + "08000400" + "07000000")
  }

  @Test("bringing up sets flag and MTU and nothing else")
  func up() {
    #expect(
      hex(InterfaceSettings.up(7, mtu: 1280))
        == "28000000" + "1000" + "0100" + "00000000" + "00000000"
        + "00000000" + "07000000" + "01000000" + "01000000"
        + "08000400" + "00050000")
  }

  @Test("nested attributes are read back as they were written")
  func nested() {
    var request = NetlinkRequest(RTM_NEWLINK, flags: 0, ifinfomsg())
    request.nest(18) { $0.put(2, UInt32(0xdead_beef)) }
    request.put(5, IPAddress("192.0.2.1")!)
    let attributes = NetlinkAttributes(UnsafeRawBufferPointer(rebasing: request.bytes[32...]))
    #expect(attributes.nested(18)?.uint32(2) == 0xdead_beef)
    #expect(attributes.address(5) == IPAddress("192.0.2.1"))
    #expect(attributes.uint32(6) == nil && attributes.string(6) == nil && attributes.nested(6) == nil)
  }

  @Test("an answer ends with its verdict, and messages for others are passed over")
  func answers() {
    func message(_ type: UInt16, _ sequence: UInt32, _ content: [UInt8]) -> [UInt8] {
      var bytes: [UInt8] = []
      withUnsafeBytes(of: UInt32(16 + content.count)) { bytes += $0 }
      withUnsafeBytes(of: type) { bytes += $0 }
      bytes += [0, 0]
      withUnsafeBytes(of: sequence) { bytes += $0 }
      return bytes + [0, 0, 0, 0] + content + [UInt8](repeating: 0, count: (4 - content.count % 4) % 4)
    }
    let refusal = withUnsafeBytes(of: CInt(-17)) { Array($0) }
    var seen: [UInt16] = []
    func read(_ bytes: [UInt8]) -> CInt? {
      seen = []
      return bytes.withUnsafeBytes { NetlinkSocket.read($0, 5) { type, _ in seen.append(type) } }
    }
    #expect(read(message(2, 5, refusal)) == 17)
    #expect(read(message(20, 5, [1]) + message(20, 4, [1]) + message(3, 5, [0, 0, 0, 0])) == 0)
    #expect(seen == [20])
    #expect(read(message(2, 4, refusal)) == nil)
    #expect(read(Array(message(20, 5, [1, 2, 3, 4]).dropLast(2))) == EBADMSG)
  }

  @Test("nothing the kernel might send makes a reader fall", arguments: [31, 32] as [UInt64])
  func randomContent(seed: UInt64) {
    let random = SeededRandom(seed)
    let real = Self.contents
    var (addresses, routes) = (0, 0)
    for _ in 0..<20_000 {
      var content = real[Int(random.uniform(below: UInt64(real.count)))]
      for _ in 0...random.uniform(below: 3) {
        content[Int(random.uniform(below: UInt64(content.count)))] ^= 1 << UInt8(random.uniform(below: 8))
      }
      if random.uniform(below: 4) == 0 { content.removeLast(Int(random.uniform(below: UInt64(content.count)))) }
      var host = HostNetwork()
      content.withUnsafeBytes { bytes in
        host.addLink(bytes)
        host.addAddress(bytes)
        host.addRoute(bytes)
        _ = NetlinkSocket.read(bytes, 0) { _, _ in }
      }
      _ = LocalEndpoints.list(host, meshPrefixes: [], port: 1)
      _ = (host.bounds(besides: 1), host.reachable(excluding: []))
      addresses += host.addresses.count
      routes += host.privateRoutes.count
    }
    #expect(addresses > 1000 && routes > 1000, "\(addresses) addresses and \(routes) routes were understood")
  }

  /// Behind their headers: an interface, addresses of both families, a route.
  private static var contents: [[UInt8]] {
    func content(_ request: borrowing NetlinkRequest) -> [UInt8] { Array(request.bytes.dropFirst(16)) }
    return [
      content(InterfaceSettings.up(7, mtu: 1280)),
      content(InterfaceSettings.address(RTM_NEWADDR, NLM_F_CREATE, IPPrefix("10.200.0.1/32")!, 7)),
      content(InterfaceSettings.address(RTM_NEWADDR, NLM_F_CREATE, IPPrefix("fd00::1/128")!, 7)),
      content(InterfaceSettings.route(RTM_NEWROUTE, NLM_F_CREATE, IPPrefix("10.200.0.2/32")!, 7)),
    ]
  }

  @Test("the kernel lists its loopback interface and address")
  func listsLoopback() throws {
    let host = try HostNetwork(NetlinkSocket())
    #expect(host.links.values.contains { $0.isLoopback && $0.name == "lo" })
  }

  @Test("an address that the kernel cannot add is refused with its number")
  func refused() throws {
    let settings = InterfaceSettings(socket: try NetlinkSocket(), index: .max)
    let status = settings.add(address: IPPrefix("10.200.0.1/32")!)
    // Without privilege it is a matter of permission, with it there is no such interface.
    #expect([EPERM, ENODEV].contains(status))
  }
}
