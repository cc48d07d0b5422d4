import CLinux
import Glibc

/// An eventfd: whoever waits for it is woken by whoever signals it. Closed when its last holder lets go.
final class EventCounter: Sendable {
  let descriptor: CInt

  /// `nil` if the process has no descriptors left.
  init?() {
    descriptor = clinux_event_create()
    guard descriptor >= 0 else { return nil }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  func signal() { clinux_event_signal(descriptor) }
}
