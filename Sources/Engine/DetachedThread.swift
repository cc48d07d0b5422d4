import CLinux
import Glibc

/// Runs something that waits, on a thread of its own in the network namespace of the caller's. `false` if the kernel gives none: then
/// it does not run.
func onDetachedThread(_ work: @escaping @Sendable () -> Void) -> Bool {
  let context = Unmanaged.passRetained(DetachedWork(work))
  var thread = pthread_t()
  var attributes = pthread_attr_t()
  pthread_attr_init(&attributes)
  defer { pthread_attr_destroy(&attributes) }
  pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
  guard pthread_create(&thread, &attributes, runDetachedWork, context.toOpaque()) == 0 else {
    context.release()
    return false
  }
  return true
}

private final class DetachedWork: Sendable {
  let work: @Sendable () -> Void
  init(_ work: @escaping @Sendable () -> Void) { self.work = work }
}

/// The thread's entry takes over the reference that its maker made.
private func runDetachedWork(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  if let context { Unmanaged<DetachedWork>.fromOpaque(context).takeRetainedValue().work() }
  return nil
}
