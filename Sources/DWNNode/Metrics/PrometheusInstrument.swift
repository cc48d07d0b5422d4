import CoreMetrics
import Synchronization

/// One line of the text format, without the name of its family.
struct PrometheusSample {
  var suffix = ""
  var dimensions: [(String, String)] = []
  var value: String
}

/// Something that counts, and says what it counted.
protocol PrometheusInstrument: AnyObject, Sendable {
  var type: String { get }
  var samples: [PrometheusSample] { get }
}

final class PrometheusCounter: CounterHandler, PrometheusInstrument {
  private let value = Atomic<Int64>(0)

  let type = "counter"
  var samples: [PrometheusSample] { [PrometheusSample(value: "\(value.load(ordering: .relaxed))")] }

  func increment(by amount: Int64) { value.wrappingAdd(amount, ordering: .relaxed) }
  func reset() { value.store(0, ordering: .relaxed) }
}

final class PrometheusGauge: RecorderHandler, MeterHandler, PrometheusInstrument {
  private let value = Mutex(0.0)

  let type = "gauge"
  var samples: [PrometheusSample] {
    let value = value.withLock { $0 }
    return [PrometheusSample(value: value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)")]
  }

  func record(_ value: Int64) { set(Double(value)) }
  func record(_ value: Double) { set(value) }
  func set(_ value: Int64) { set(Double(value)) }
  func set(_ value: Double) { self.value.withLock { $0 = value } }
  func increment(by amount: Double) { value.withLock { $0 += amount } }
  func decrement(by amount: Double) { value.withLock { $0 -= amount } }
}

/// How long things took, in seconds.
final class PrometheusHistogram: TimerHandler, PrometheusInstrument {
  private struct State {
    var counts = [Int](repeating: 0, count: PrometheusHistogram.bounds.count)
    var total = 0
    var sum = 0.0
  }

  /// Upper bounds of the buckets.
  static let bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

  private let state = Mutex(State())

  let type = "histogram"
  var samples: [PrometheusSample] {
    let state = state.withLock { $0 }
    let buckets = zip(Self.bounds, state.counts).map {
      PrometheusSample(suffix: "_bucket", dimensions: [("le", "\($0)")], value: "\($1)")
    }
    return buckets + [
      PrometheusSample(suffix: "_bucket", dimensions: [("le", "+Inf")], value: "\(state.total)"),
      PrometheusSample(suffix: "_sum", value: "\(state.sum)"),
      PrometheusSample(suffix: "_count", value: "\(state.total)"),
    ]
  }

  func recordNanoseconds(_ duration: Int64) {
    let seconds = Double(duration) / 1e9
    state.withLock { state in
      for (index, bound) in Self.bounds.enumerated() where seconds <= bound { state.counts[index] += 1 }
      state.total += 1
      state.sum += seconds
    }
  }
}
