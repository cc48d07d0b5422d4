import DWNNode
import Dispatch
import Foundation
import Synchronization
import Wire

/// Says on standard error how far a job is, once it has taken two seconds, and then every two seconds.
final class JobReport {
  private static let interval = Duration.seconds(2)
  private let what: String
  private var last = ContinuousClock.now
  private var signals: [any DispatchSourceSignal] = []
  private let isOver = SharedFlag()

  /// With `endsInOrder`, the first signal to end lets the job remove what it has half made; the second one ends it at once.
  init(_ what: String, endsInOrder: Bool = false) {
    self.what = what
    guard endsInOrder else { return }
    signals = [SIGINT, SIGTERM, SIGHUP].compactMap { [isOver] number in
      // What whoever began this does not want to be heard ('nohup') is not.
      if isIgnored(number) { return nil }
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        isOver.set()
        signal(number, SIG_DFL)
      }
      source.resume()
      return source
    }
  }

  func update(_ done: Int, of total: Int) throws(NodeError) {
    if isOver.isSet { throw .interrupted }
    let now = ContinuousClock.now
    guard now - last >= Self.interval else { return }
    last = now
    let percent = total > 0 ? min(100, done * 100 / total) : 100
    Terminal.note("\(what): \(percent) %")
  }
}

private func isIgnored(_ number: Int32) -> Bool {
  var action = sigaction()
  guard sigaction(number, nil, &action) == 0 else { return false }
  return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
}

private final class SharedFlag: Sendable {
  private let value = Atomic(false)

  var isSet: Bool { value.load(ordering: .relaxed) }
  func set() { value.store(true, ordering: .relaxed) }
}
