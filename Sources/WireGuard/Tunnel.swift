public import Cryptography
public import Wire

/// A whole WireGuard tunnel without I/O: a `Device` and the simplest data path. IP packets and datagrams go in with the time;
/// datagrams, IP packets and the next deadline come out.
///
/// For tests, the simulator and interop checks. The daemon joins the same `Device` with `DataPath`'s threads.
public final class Tunnel {
  public struct Output: Sendable {
    public struct Datagram: Equatable, Sendable {
      public let bytes: [UInt8]
      public let destination: SocketAddress
    }

    public struct Packet: Equatable, Sendable {
      public let bytes: [UInt8]
      public let peer: PeerID
    }

    /// To put on the wire, in this order.
    public fileprivate(set) var datagrams: [Datagram] = []
    /// To hand to the network stack, in this order.
    public fileprivate(set) var packets: [Packet] = []
    /// Peers with which a session was agreed.
    public fileprivate(set) var completedHandshakes: [PeerID] = []
  }

  /// A session's two keys.
  private final class Slot {
    let session: Session
    var sealing: SealingKey
    var opening: OpeningKey

    init(_ session: Session, _ keys: SessionKeys) {
      self.session = session
      sealing = SealingKey(session, key: keys.send)
      opening = OpeningKey(session, key: keys.receive)
    }
  }

  /// A peer as the data path sees it.
  private final class Lane {
    let traffic = TrafficWords()
    var current: Slot?
    var endpoint: SocketAddress?
  }

  public let device: Device
  private let mtu: Int
  private var routes: AllowedIPsTable
  private var slots: [UInt32: Slot] = [:]
  private var lanes: [PeerID: Lane] = [:]
  private var output = Output()

  /// - Parameter mtu: of the tunnel; padding stays within it.
  public init(
    privateKey: X25519PrivateKey, random: any RandomSource, mtu: Int = 1280,
    configuration: Device.Configuration = Device.Configuration()
  ) {
    device = Device(privateKey: privateKey, random: random, configuration: configuration)
    routes = device.allowedIPs.table()
    self.mtu = mtu
  }

  // MARK: Peers

  public func addPeer(_ configuration: PeerConfiguration, now: Instant) throws(WireGuardError) -> PeerID {
    let peer = try device.addPeer(configuration, now: now)
    lanes[peer] = Lane()
    routes = device.allowedIPs.table()
    return peer
  }

  public func updatePeer(
    _ peer: PeerID, _ configuration: PeerConfiguration, now: Instant, wallTime: WallTime
  ) throws(WireGuardError) -> Output {
    let actions = try device.updatePeer(peer, configuration, now: now, wallTime: wallTime)
    routes = device.allowedIPs.table()
    perform(actions, now, wallTime)
    return takeOutput()
  }

  public func removePeer(_ peer: PeerID, now: Instant, wallTime: WallTime) {
    perform(device.removePeer(peer), now, wallTime)
    lanes[peer] = nil
    routes = device.allowedIPs.table()
  }

  // MARK: What happens

  public func initiate(
    _ peer: PeerID, _ reason: Device.HandshakeReason = .wanted, now: Instant, wallTime: WallTime
  ) -> Output {
    perform(device.initiate(peer, reason, now: now, wallTime: wallTime), now, wallTime)
    return takeOutput()
  }

  /// An IP packet from this machine. Dropped if it is none, or no peer has its destination.
  public func send(_ packet: [UInt8], now: Instant, wallTime: WallTime) -> Output {
    if let header = InnerPacket(packet), let peer = routes.peer(of: header.destination) {
      seal(Array(packet.prefix(header.length)), for: peer, now, wallTime)
    }
    return takeOutput()
  }

  /// A datagram from the wire. Whatever it is, at worst nothing happens.
  public func receive(
    _ datagram: [UInt8], from source: SocketAddress, now: Instant, wallTime: WallTime
  ) -> Output {
    let isTransport = datagram.withUnsafeBytes { bytes in
      bytes.baseAddress.map { TransportMessage.isTransport($0, count: bytes.count) } ?? false
    }
    if isTransport {
      open(datagram, from: source, now, wallTime)
    } else {
      perform(device.receive(datagram, from: source, now: now, wallTime: wallTime), now, wallTime)
    }
    return takeOutput()
  }

  /// Runs the timers that are due.
  public func advance(now: Instant, wallTime: WallTime) -> Output {
    perform(
      device.advance(now: now, wallTime: wallTime, traffic: { self.lanes[$0]?.traffic.observe() ?? Traffic() }), now,
      wallTime)
    return takeOutput()
  }

  /// When to call `advance` next.
  public var nextDeadline: Instant? { device.nextDeadline }

  public func status(of peer: PeerID, now: Instant) -> PeerStatus? { device.status(of: peer, now: now) }

  // MARK: The data path

  private func seal(_ packet: [UInt8], for peer: PeerID, _ now: Instant, _ wallTime: WallTime) {
    guard let lane = lanes[peer] else { return }
    guard let slot = lane.current, let counter = slot.sealing.takeCounters(at: now) else {
      if !packet.isEmpty {
        tell(.packetWithoutSession(peer, packet: packet, unusable: lane.current?.session.id), now, wallTime)
      }
      return
    }
    let length = TransportMessage.paddedLength(of: packet.count, mtu: mtu)
    let padded = packet + [UInt8](repeating: 0, count: length - packet.count)
    var datagram = [UInt8](repeating: 0, count: length + TransportMessage.overhead)
    datagram.withUnsafeMutableBytes { datagram in
      padded.withUnsafeBytes {
        // An empty array may have no address; sealing reads nothing then.
        slot.sealing.seal(
          $0.baseAddress ?? UnsafeRawPointer(datagram.baseAddress!), count: length, counter: counter,
          into: datagram.baseAddress!)
      }
    }
    if let endpoint = lane.endpoint { output.datagrams.append(.init(bytes: datagram, destination: endpoint)) }
    if lane.traffic.recordSent(isData: !packet.isEmpty, at: now) { tell(.dataSent(peer, at: now), now, wallTime) }
    if !packet.isEmpty, slot.sealing.wantsRekey(at: now) {
      slot.sealing.rekeyIsTold()
      tell(.wantsRekey(slot.session.id, peer: peer), now, wallTime)
    }
  }

  private func open(_ datagram: [UInt8], from source: SocketAddress, _ now: Instant, _ wallTime: WallTime) {
    var datagram = datagram
    guard let slot = slots[datagram.withUnsafeBytes { TransportMessage.receiverIndex(of: $0.baseAddress!) }],
      let lane = lanes[slot.session.peer],
      case .opened(let length) = datagram.withUnsafeMutableBytes({
        slot.opening.open($0.baseAddress!, count: $0.count, at: now)
      })
    else { return }
    let peer = slot.session.peer
    if slot.opening.confirmsSession {
      slot.opening.confirmationIsTold()
      tell(.confirmed(slot.session.id, peer: peer), now, wallTime)
    }
    if lane.endpoint != source { tell(.sourceChanged(peer, source), now, wallTime) }
    if lane.traffic.recordReceived(isData: length > 0, at: now) { tell(.dataReceived(peer, at: now), now, wallTime) }
    if slot.opening.wantsRekey(at: now) {
      slot.opening.rekeyIsTold()
      tell(.wantsRekey(slot.session.id, peer: peer), now, wallTime)
    }
    let plaintext = Array(datagram[TransportMessage.headerLength..<(TransportMessage.headerLength + length)])
    // The longest match decides, so a peer cannot speak for an address that is another's within its own block.
    guard let packet = InnerPacket(plaintext), routes.peer(of: packet.source) == peer else { return }
    output.packets.append(.init(bytes: Array(plaintext.prefix(packet.length)), peer: peer))
  }

  private func tell(_ event: Event, _ now: Instant, _ wallTime: WallTime) {
    perform(device.handle(event, now: now, wallTime: wallTime), now, wallTime)
  }

  private func perform(_ actions: [Action], _ now: Instant, _ wallTime: WallTime) {
    for action in actions {
      switch action {
      case .send(let message, let addresses):
        output.datagrams += addresses.map { .init(bytes: message, destination: $0) }
      case .install(let session, let keys, let state):
        let slot = Slot(session, keys)
        slots[session.localIndex] = slot
        if state == .current { lanes[session.peer]?.current = slot }
      case .promote(let session):
        lanes[session.peer]?.current = slots[session.localIndex]
      case .retire(let session):
        slots[session.localIndex] = nil
        if let lane = lanes[session.peer], lane.current?.session.id == session.id { lane.current = nil }
      case .setEndpoint(let peer, let address):
        lanes[peer]?.endpoint = address
      case .seal(let peer, let packets):
        for packet in packets { seal(packet, for: peer, now, wallTime) }
      case .sealKeepalive(let peer):
        seal([], for: peer, now, wallTime)
      case .handshakeCompleted(let peer, _):
        output.completedHandshakes.append(peer)
      case .handshakeAbandoned:
        break
      }
    }
  }

  private func takeOutput() -> Output {
    defer { output = Output() }
    return output
  }
}
