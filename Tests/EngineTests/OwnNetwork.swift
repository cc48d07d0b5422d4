import Foundation
import Glibc

/// A network for an engine that a test runs in its own process.
enum OwnNetwork {
  /// CLONE_NEWNET of `sched.h`, which Swift does not see, as it does not see `unshare`.
  private static let newNetwork: CInt = 0x4000_0000
  static let hasRights = geteuid() == 0 && access("/dev/net/tun", R_OK | W_OK) == 0

  /// A descriptor of a network namespace that lasts as long as it is open, or an error number below zero. No process is left behind that
  /// could outlive the test.
  static func descriptor() async -> CInt {
    await withCheckedContinuation { continuation in
      // The thread ends in that network.
      Thread {
        guard let unshare = dlsym(nil, "unshare") else { return continuation.resume(returning: -ENOSYS) }
        typealias Call = @convention(c) (CInt) -> CInt
        guard unsafeBitCast(unshare, to: Call.self)(newNetwork) == 0 else {
          return continuation.resume(returning: -errno)
        }
        let descriptor = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
        continuation.resume(returning: descriptor >= 0 ? descriptor : -errno)
      }.start()
    }
  }
}
