import ArgumentParser
import CLinux
import Cryptography
import DataPath
import Foundation
import Glibc
import Wire
import WireGuard

/// Small datagrams, as fast as one thread can make them or take them: so that it is the tunnel that is measured, and not the programs at
/// its ends.
struct DatagramTool: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "datagrams", shouldDisplay: false)

  static let port: UInt16 = 7999
  private static let batch = 32

  /// Where they are sent; without it they are taken, and counted, until there are no more questions.
  @Option var to: String?
  @Option var payload = 64
  @Option var seconds = 2
  /// Sends handshake initiations of strangers in their place, to the machine with this key, so many a second.
  @Option var initiationsFor: String?
  @Option var rate = 0
  @Option var destinationPort = DatagramTool.port

  func run() throws {
    let descriptor = clinux_udp_open(AF_INET, to == nil ? Self.port : 0, 8 << 20)
    guard descriptor >= 0 else {
      throw BenchmarkFailure(reason: "no socket: \(String(cString: strerror(-descriptor)))")
    }
    defer { close(descriptor) }
    let messages = UnsafeMutablePointer<clinux_message>.allocate(capacity: Self.batch)
    let parts = UnsafeMutablePointer<iovec>.allocate(capacity: Self.batch)
    let target = UnsafeMutablePointer<clinux_address>.allocate(capacity: 1)
    let room = UnsafeMutableRawPointer.allocate(byteCount: Self.batch * 2048, alignment: 64)
    room.initializeMemory(as: UInt8.self, repeating: 0, count: Self.batch * 2048)
    messages.initialize(repeating: clinux_message(), count: Self.batch)
    parts.initialize(repeating: iovec(), count: Self.batch)
    target.initialize(to: clinux_address())
    if let to {
      guard let address = IPAddress(to) else { throw ValidationError("\(to) is no address") }
      target.pointee = clinux_address(SocketAddress(address, port: destinationPort))
    }
    for index in 0..<Self.batch {
      clinux_message_set(
        messages, parts, index, room + index * 2048, to == nil ? 2048 : payload, to == nil ? nil : target,
        to == nil ? 0 : target.pointee.length)
    }
    if let initiationsFor {
      guard let key = X25519PublicKey(base64: initiationsFor) else { throw ValidationError("this is no key") }
      for index in 0..<Self.batch {
        let initiation = try Self.initiation(to: key)
        (room + index * 2048).copyMemory(from: initiation, byteCount: initiation.count)
        parts[index].iov_len = initiation.count
      }
    }
    if to == nil { take(descriptor, messages) } else { make(descriptor, messages) }
  }

  /// What a machine sends that knows the key and is not known itself.
  private static func initiation(to key: X25519PublicKey) throws -> [UInt8] {
    let stranger = Tunnel(privateKey: X25519PrivateKey(random: SystemRandom()), random: SystemRandom())
    let address = SocketAddress(IPAddress(v4: 0xc000_0201), port: port)
    let peer = try stranger.addPeer(PeerConfiguration(publicKey: key, candidates: [address]), now: .now())
    return stranger.initiate(peer, now: .now(), wallTime: .now()).datagrams[0].bytes
  }

  private func make(_ descriptor: CInt, _ messages: UnsafeMutablePointer<clinux_message>) {
    let end = Instant.now() + .seconds(seconds)
    while Instant.now() < end {
      if rate > 0 { usleep(UInt32(1_000_000 * Self.batch / rate)) }
      if clinux_send(descriptor, messages, UInt32(Self.batch)) <= 0 {
        var set = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&set, 1, 10)
      }
    }
  }

  /// Answers each line with how many came since the one before.
  private func take(_ descriptor: CInt, _ messages: UnsafeMutablePointer<clinux_message>) {
    print("ready")
    fflush(nil)
    var count = 0
    while true {
      var set = [
        pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: 0, events: Int16(POLLIN), revents: 0),
      ]
      poll(&set, 2, -1)
      if set[1].revents != 0 {
        guard readLine() != nil else { return }
        print(count)
        fflush(nil)
        count = 0
      }
      while set[0].revents != 0 {
        let taken = clinux_receive(descriptor, messages, UInt32(Self.batch))
        guard taken > 0 else { break }
        count += Int(taken)
        if taken < Self.batch { break }
      }
    }
  }
}

/// Datagrams through tunnels, with one program that takes them.
final class DatagramSink {
  private let lab: NamespacePair
  private let process: ChildProcess

  init(_ lab: NamespacePair) throws {
    self.lab = lab
    process = try ChildProcess(lab.inside(1, [CommandLine.arguments[0], "datagrams"]), isTalking: true)
    _ = try process.hear()
  }

  deinit { process.stop() }

  /// How many a second arrive of as many as one sender makes.
  func rate(to address: String, payload: Int, seconds: Int) throws -> Double {
    _ = try process.ask("begin")
    try lab.run(
      0, [CommandLine.arguments[0], "datagrams", "--to", address, "--payload", "\(payload)", "--seconds", "\(seconds)"])
    // What is on its way.
    usleep(200_000)
    guard let count = Double(try process.ask("end")) else { throw BenchmarkFailure(reason: "nobody counted") }
    return count / Double(seconds)
  }
}
