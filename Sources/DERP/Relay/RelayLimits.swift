/// Bounds of a relay: what it holds for others, and for how long it waits.
public struct RelayLimits: Hashable, Sendable {
  /// Connections that were admitted, in all and with one key.
  public var clients = 10_000
  public var clientsPerKey = 8
  /// Connections that have not yet said who they are, in all and from one IPv4 address or IPv6 /64.
  public var strangers = 64
  public var strangersPerNetwork = 4
  /// For request and handshake.
  public var handshake: Duration = .seconds(5)
  /// Packets that wait for one client, data and disco apart, and their bytes.
  public var queuedPackets = 256
  public var queuedBytes = 512 << 10
  /// What all that waits for all clients may take in memory.
  public var waitingBytes = 256 << 20
  /// A client that takes nothing for so long is cut off.
  public var writeTimeout: Duration = .seconds(2)
  public var keepAlive: Duration = .seconds(60)
  /// How many bytes a second are taken from one client, and how many at once: more waits in its own connection.
  public var bytesPerSecond = 64 << 20
  public var burst = 4 << 20
  /// Peers of whose leaving one client is told, and all clients together.
  public var watchedPeers = 1024
  public var watchedPeersInAll = 500_000

  public init() {}

  /// - Parameter openFiles: how many files the process may have open: half of them may be clients.
  public init(openFiles: Int) {
    clients = min(clients, openFiles / 2)
  }
}
