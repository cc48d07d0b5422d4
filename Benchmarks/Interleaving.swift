import Wire

/// Something that can be done any number of times in a row.
struct Contender {
  let name: String
  /// Does it `count` times. Whatever it computes must be used, or the optimiser removes it.
  let work: (_ count: Int) -> Void
}

/// Measures several things against each other.
///
/// Each round gives every contender one slice of time, so that a machine that slows down for a while slows all of them down; the
/// median over the rounds leaves out the slices that something else disturbed.
enum Interleaving {
  /// Times per second, in the order of the contenders.
  static func rates(_ contenders: [Contender], rounds: Int = 11, slice: Duration = .milliseconds(40)) -> [Double] {
    let counts = contenders.map { countFilling(slice, $0) }
    var rates = contenders.map { _ in [Double]() }
    for _ in 0..<rounds {
      for (index, contender) in contenders.enumerated() {
        let time = measure { contender.work(counts[index]) }
        rates[index].append(Double(counts[index]) / time.seconds)
      }
    }
    return rates.map { $0.sorted()[$0.count / 2] }
  }

  /// How many times fill about the slice; finding out warms the caches up, too.
  private static func countFilling(_ slice: Duration, _ contender: Contender) -> Int {
    var count = 1
    while true {
      let time = measure { contender.work(count) }
      if time * 4 >= slice { return max(1, Int(Double(count) * slice.seconds / time.seconds)) }
      count *= 2
    }
  }

  private static func measure(_ work: () -> Void) -> Duration {
    let start = Instant.now()
    work()
    return Instant.now() - start
  }
}

/// Keeps a value from being optimised away.
@inline(never)
func use<Value>(_ value: Value) {}
