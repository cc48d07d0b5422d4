import CLinux
import Glibc
import Synchronization

/// The thread on which an engine's actor runs: an executor that also waits for descriptors.
///
/// Jobs come from anywhere through `enqueue`. Handlers of descriptors run on the same thread, so they may assume the actor's
/// isolation, and a packet's event reaches the actor without a hop. The thread keeps the loop alive until `end`.
final class ControlLoop: SerialExecutor {
  private struct Inbox {
    var jobs: [UnownedJob] = []
    var hasEnded = false
  }

  private struct Watch {
    let descriptor: CInt
    let handler: @Sendable () -> Void
  }

  private let inbox = Mutex(Inbox())
  private let wake: CInt
  private let thread = Atomic<UInt>(0)
  // Only used by the loop's own thread, under a lock that nobody else wants.
  private let watches = Mutex<[Watch]>([])

  private init(wake: CInt) { self.wake = wake }

  deinit { close(wake) }

  static func start() throws(EngineError) -> ControlLoop {
    let wake = clinux_event_create()
    guard wake >= 0 else { throw .system("making an event descriptor", reason: reason(of: -wake)) }
    let loop = ControlLoop(wake: wake)
    let context = Unmanaged.passRetained(loop)
    var thread = pthread_t()
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
    let status = pthread_create(&thread, &attributes, runControlLoop, context.toOpaque())
    guard status == 0 else {
      context.release()
      throw .system("starting the engine's thread", reason: reason(of: status))
    }
    return loop
  }

  /// Lets the thread finish what is enqueued and go.
  func end() {
    inbox.withLock { $0.hasEnded = true }
    clinux_event_signal(wake)
  }

  // MARK: Executor

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    inbox.withLock { $0.jobs.append(job) }
    clinux_event_signal(wake)
  }

  func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

  func checkIsolated() {
    precondition(isIsolatingCurrentContext() == true, "only the engine's own thread may do this")
  }

  func isIsolatingCurrentContext() -> Bool? {
    thread.load(ordering: .acquiring) == UInt(pthread_self())
  }

  // MARK: Descriptors

  /// Calls `handler` on the loop's thread whenever the descriptor is readable. Only from that thread.
  func watch(_ descriptor: CInt, _ handler: @escaping @Sendable () -> Void) {
    checkIsolated()
    watches.withLock { $0.append(Watch(descriptor: descriptor, handler: handler)) }
  }

  /// Forgets the descriptor, which is still open. Only from the loop's thread.
  func unwatch(_ descriptor: CInt) {
    checkIsolated()
    watches.withLock { $0.removeAll { $0.descriptor == descriptor } }
  }

  // MARK: The thread

  fileprivate func run() {
    clinux_name_thread("meshd-control")
    thread.store(UInt(pthread_self()), ordering: .releasing)
    while true {
      let (jobs, hasEnded) = inbox.withLock { inbox in
        defer { inbox.jobs.removeAll(keepingCapacity: true) }
        return (inbox.jobs, inbox.hasEnded)
      }
      for job in jobs { job.runSynchronously(on: asUnownedSerialExecutor()) }
      if jobs.isEmpty, hasEnded { return }
      waitAndServe(isBusy: !jobs.isEmpty)
    }
  }

  private func waitAndServe(isBusy: Bool) {
    let watches = watches.withLock { $0 }
    var set = [pollfd(fd: wake, events: Int16(POLLIN), revents: 0)]
    set += watches.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
    // A job may have enqueued others: look at the descriptors, but do not sleep.
    guard poll(&set, nfds_t(set.count), isBusy ? 0 : -1) > 0 else { return }
    if set[0].revents != 0 { clinux_event_clear(wake) }
    for (watch, answer) in zip(watches, set.dropFirst()) where answer.revents != 0 {
      // An earlier handler may have closed this one's descriptor.
      guard self.watches.withLock({ $0.contains { $0.descriptor == watch.descriptor } }) else { continue }
      watch.handler()
    }
  }
}

/// The thread's entry takes over the reference that `start` made.
private func runControlLoop(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let context else { return nil }
  Unmanaged<ControlLoop>.fromOpaque(context).takeRetainedValue().run()
  return nil
}

/// The kernel's words for an error number.
func reason(of number: CInt) -> String { String(cString: strerror(number)) }
