/// The numbers of the protocol (WireGuard §6.1), and the sizes that this implementation chose.
public enum ProtocolConstants {
  /// A session that has sealed this many packets asks for its successor.
  public static let rekeyAfterMessages: UInt64 = 1 << 60
  /// No counter at or above this is sealed or accepted: 2⁶⁴ − 2¹³ − 1.
  public static let rejectAfterMessages: UInt64 = .max - (1 << 13)

  /// The initiator of a session replaces it when it sends after this age.
  public static let rekeyAfterTime: Duration = .seconds(120)
  /// No session is used after this age.
  public static let rejectAfterTime: Duration = .seconds(180)
  /// Initiations to one peer are at least this far apart, and are repeated after it.
  public static let rekeyTimeout: Duration = .seconds(5)
  /// A random part of this is added where both ends would otherwise act at the same moment.
  public static let rekeyTimeoutJitter: Duration = .milliseconds(333)
  /// Data that nothing answered for this long is answered with a keepalive.
  public static let keepaliveTimeout: Duration = .seconds(10)
  /// Data that nothing answered for this long asks for a new handshake; jitter is added.
  public static let newHandshakeTimeout: Duration = keepaliveTimeout + rekeyTimeout
  /// The initiator that receives, but does not send, replaces the session when it is received under after this age.
  public static let rekeyAfterTimeReceiving: Duration = rejectAfterTime - keepaliveTimeout - rekeyTimeout
  /// Retransmissions after which a handshake is given up: 90 s worth of them.
  public static let maximumRetransmissions = 18
  /// Key material of a peer that derived no session for this long is wiped.
  public static let zeroKeyMaterialAfter: Duration = .seconds(540)

  /// How long a cookie, and the secret behind it, is good for.
  public static let cookieLifetime: Duration = .seconds(120)
  /// Accepted initiations of one peer are at least this far apart.
  public static let initiationFloodGap: Duration = .milliseconds(20)
  /// Load outlasts its cause by this long.
  public static let underLoadMemory: Duration = .seconds(1)

  /// Packets that wait for a session, per peer; the oldest is dropped for a new one.
  public static let maximumStagedPackets = 128
}
