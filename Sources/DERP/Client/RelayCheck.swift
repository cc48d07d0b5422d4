import Cryptography
public import Netmap
import NIOCore
import NIOPosix
import Wire

/// Whether a relay is where somebody says it is.
public enum RelayCheck {
  /// Completes a TLS handshake in which the relay shows its pinned certificate, and says nothing after it.
  public static func completesHandshake(with relay: Relay, within limit: Duration) async -> Bool {
    guard relay.certificateSHA256 != nil else { return false }
    let dialer = RelayDialer(
      relay: relay, certificate: ServerCertificate(pin: relay.certificateSHA256),
      loop: MultiThreadedEventLoopGroup.singleton.next())
    guard let channel = try? await dialer.dial(before: .now() + .nanoseconds(limit.nanoseconds)) else { return false }
    channel.close(promise: nil)
    return true
  }
}
