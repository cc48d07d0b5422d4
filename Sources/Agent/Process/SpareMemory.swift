import CLinux
import Glibc
import Wire

/// Memory that a busy process keeps because it may need it again.
enum SpareMemory {
  /// All threads share two arenas: with one for each of them, as is usual, what one freed would not serve another. The threads that
  /// carry packets allocate nothing.
  static func shareArenas() { clinux_limit_arenas(2) }

  /// When the process has come to rest, and now and then as long as it rests, calls `release` and gives back what is free then. Returns
  /// when the task is cancelled.
  static func giveBackAtRest(_ release: @Sendable () -> Void) async {
    var watch = RestWatch(now: .now(), processorTime: processorTime())
    while (try? await Task.sleep(for: watch.pause, tolerance: .seconds(10))) != nil {
      let isNews = watch.hasComeToRest(now: .now(), processorTime: processorTime())
      guard watch.isResting else { continue }
      release()
      // What was asked to be released is, a moment later.
      do { try await Task.sleep(for: .seconds(1)) } catch { return }
      clinux_give_back_heap()
      if isNews { giveBackCode() }
    }
  }

  /// The pages of the program's files, most of which its start alone needed. Those that are used come back one by one, from memory,
  /// within microseconds.
  static func giveBackCode() { clinux_give_back_code() }

  /// What the process has used of all cores.
  private static func processorTime() -> Duration {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }
}
