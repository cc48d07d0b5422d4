import Wire

/// Says on standard error how far a job is, once it has taken two seconds, and then every two seconds.
final class JobReport {
  private static let interval = Duration.seconds(2)
  private let what: String
  private var last = ContinuousClock.now

  init(_ what: String) { self.what = what }

  func update(_ done: Int, of total: Int) {
    let now = ContinuousClock.now
    guard now - last >= Self.interval else { return }
    last = now
    let percent = total > 0 ? min(100, done * 100 / total) : 100
    Terminal.note("\(what): \(percent) %")
  }
}
