import CLinux
import Glibc
import Testing
import Wire

@testable import DataPath

/// Two UDP sockets on loopback, or two ends of a socket pair, which is soon full.
private final class SocketPair {
  let near: CInt
  let far: CInt
  /// Of the far socket; none in a pair.
  let address: clinux_address

  init(isPair: Bool) throws {
    let kind = CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
    if isPair {
      var pair: [CInt] = [0, 0]
      #expect(socketpair(AF_UNIX, kind, 0, &pair) == 0)
      (near, far) = (pair[0], pair[1])
      address = clinux_address()
    } else {
      near = clinux_udp_open(AF_INET, 0, 1 << 20)
      far = clinux_udp_open(AF_INET, 0, 1 << 20)
      address = clinux_address(
        SocketAddress(IPAddress(v4: 0x7f00_0001), port: UInt16(truncatingIfNeeded: clinux_udp_port(far))))
    }
  }

  deinit {
    close(near)
    close(far)
  }

  /// The next datagram that arrived: its length and its first byte.
  func receive() -> (length: Int, first: UInt8)? {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    let count = recv(far, &buffer, buffer.count, 0)
    return count > 0 ? (count, buffer[0]) : nil
  }
}

@Suite("datagrams on their way out")
struct DatagramTrainsTests {
  /// Datagrams of these lengths one behind the other, each beginning with its number.
  private func datagrams(_ lengths: [Int], _ body: (UnsafeMutableRawPointer, [Int]) throws -> Void) rethrows {
    let room = UnsafeMutableRawPointer.allocate(byteCount: lengths.reduce(0, +), alignment: 64)
    defer { room.deallocate() }
    var offsets: [Int] = []
    var offset = 0
    for (number, length) in lengths.enumerated() {
      offsets.append(offset)
      room.storeBytes(of: UInt8(truncatingIfNeeded: number), toByteOffset: offset, as: UInt8.self)
      offset += length
    }
    try body(room, offsets)
  }

  private func drain(_ wire: SocketPair) -> [(length: Int, first: UInt8)] {
    var received: [(length: Int, first: UInt8)] = []
    while let next = wire.receive() { received.append(next) }
    return received
  }

  @Test("one that is too long for the protocol is dropped and counted, and the others go out")
  func tooLong() throws {
    let wire = try SocketPair(isPair: false)
    let drops = DropCounters()
    defer { drops.deallocate() }
    var trains = DatagramTrains(descriptor: wire.near, makesTrains: true)
    defer { trains.deallocate() }
    let lengths = [100, 66_000, 200]
    var address = wire.address
    datagrams(lengths) { room, offsets in
      for (length, offset) in zip(lengths, offsets) { trains.add(room + offset, length: length, to: &address) }
      let isDone = trains.flush(drops)
      #expect(isDone)
    }
    #expect(drain(wire).map(\.length) == [100, 200])
    #expect(drops[.datagramTooLong] == 1)
  }

  @Test("what a full socket does not take waits in its order, and none of it is lost or sent twice")
  func full() throws {
    let wire = try SocketPair(isPair: true)
    var small: CInt = 4096
    setsockopt(wire.near, SOL_SOCKET, SO_SNDBUF, &small, socklen_t(MemoryLayout<CInt>.size))
    let drops = DropCounters()
    defer { drops.deallocate() }
    var trains = DatagramTrains(descriptor: wire.near, makesTrains: false)
    defer { trains.deallocate() }
    let lengths = [Int](repeating: 500, count: DatagramTrains.capacity)
    var address = wire.address
    var received: [(length: Int, first: UInt8)] = []
    var waits = 0
    datagrams(lengths) { room, offsets in
      for (length, offset) in zip(lengths, offsets) { trains.add(room + offset, length: length, to: &address) }
      while !trains.flush(drops), waits < 1000 {
        waits += 1
        received += drain(wire)
      }
    }
    received += drain(wire)
    #expect(waits > 0, "the socket was never full")
    #expect(received.map(\.first) == (0..<UInt8(DatagramTrains.capacity)).map { $0 })
    #expect(DropReason.allCases.allSatisfy { drops[$0] == 0 })
  }

  @Test("trains that the socket refuses to cut go out as single datagrams, from then on all of them")
  func refused() throws {
    let wire = try SocketPair(isPair: false)
    // Without checksums the kernel cuts nothing.
    var yes: CInt = 1
    setsockopt(wire.near, SOL_SOCKET, SO_NO_CHECK, &yes, socklen_t(MemoryLayout<CInt>.size))
    let drops = DropCounters()
    defer { drops.deallocate() }
    var trains = DatagramTrains(descriptor: wire.near, makesTrains: true)
    defer { trains.deallocate() }
    var address = wire.address
    let lengths = [300, 300, 300, 100]
    for _ in 0..<2 {
      datagrams(lengths) { room, offsets in
        for (length, offset) in zip(lengths, offsets) { trains.add(room + offset, length: length, to: &address) }
        let isDone = trains.flush(drops)
        #expect(isDone)
      }
      #expect(drain(wire).map(\.length) == lengths)
      #expect(!trains.makesTrains)
    }
    #expect(DropReason.allCases.allSatisfy { drops[$0] == 0 })
  }

  @Test("a data path makes trains again when the sockets are to be tried anew, and says so", arguments: [1, 2])
  func again(threads: Int) throws {
    let link = try Link(threads: threads == 1 ? .one : .onePerDirection, offloads: .all)
    link.publishBoth()
    var packet = FullPacket()
    packet.payload = [UInt8](repeating: 7, count: 5000)
    let (virtio, bytes) = packet.superPacket(segmentSize: 1000)
    var header = [UInt8](repeating: 0, count: VirtioHeader.length)
    header.withUnsafeMutableBytes { virtio.write(to: $0.baseAddress!) }
    func carries() -> Bool {
      link.a.send(header + bytes)
      var received = 0
      while received < 5000, let next = link.b.receive() { received += next.count - header.count - 40 }
      return received == 5000
    }
    for refuses: CInt in [1, 0] {
      var refuses = refuses
      setsockopt(link.a.socket, SOL_SOCKET, SO_NO_CHECK, &refuses, socklen_t(MemoryLayout<CInt>.size))
      if refuses == 0 { link.a.dataPath.trySocketsAgain() }
      #expect(link.a.sees { link.a.dataPath.offloads.contains(.gso) })
      #expect(carries())
      #expect(link.a.sees { link.a.dataPath.offloads.contains(.gso) == (refuses == 0) })
    }
    #expect(DropReason.allCases.allSatisfy { link.a.dataPath.drops($0) == 0 })
  }

  @Test("a train is cut by the kernel into what it was made of, the last one shorter")
  func cut() throws {
    let wire = try SocketPair(isPair: false)
    let drops = DropCounters()
    defer { drops.deallocate() }
    var trains = DatagramTrains(descriptor: wire.near, makesTrains: clinux_udp_can_segment(wire.near))
    defer { trains.deallocate() }
    var address = wire.address
    let lengths = [300, 300, 300, 100, 300, 400]
    datagrams(lengths) { room, offsets in
      for (length, offset) in zip(lengths, offsets) { trains.add(room + offset, length: length, to: &address) }
      let isDone = trains.flush(drops)
      #expect(isDone)
    }
    let received = drain(wire)
    #expect(received.map(\.length) == lengths && received.map(\.first) == [0, 1, 2, 3, 4, 5])
  }

  @Test(
    "what the kernel says has its own counter",
    arguments: [
      (ENOBUFS, DropReason.sendQueueFull), (ENOMEM, .sendQueueFull), (EAGAIN, .sendQueueFull),
      (EMSGSIZE, .datagramTooLong), (ENETUNREACH, .sendFailed), (EPERM, .sendFailed),
    ])
  func reasons(number: CInt, reason: DropReason) { #expect(DropReason.sending(number) == reason) }
}
