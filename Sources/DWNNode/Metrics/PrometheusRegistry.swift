public import CoreMetrics
import Synchronization

/// The metrics of a process, as swift-metrics records them, and as Prometheus reads them.
public final class PrometheusRegistry: MetricsFactory {
  private struct Series: Hashable {
    var label: String
    var dimensions: [Dimension]
  }

  private struct Dimension: Hashable {
    var name: String
    var value: String
  }

  private let instruments = Mutex<[Series: any PrometheusInstrument]>([:])

  public init() {}

  public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
    instrument(label, dimensions) { PrometheusCounter() }
  }

  public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
    instrument(label, dimensions) { PrometheusGauge() }
  }

  public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
    instrument(label, dimensions) { PrometheusGauge() }
  }

  public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
    instrument(label, dimensions) { PrometheusHistogram() }
  }

  public func destroyCounter(_ handler: any CounterHandler) { forget(handler) }
  public func destroyRecorder(_ handler: any RecorderHandler) { forget(handler) }
  public func destroyMeter(_ handler: any MeterHandler) { forget(handler) }
  public func destroyTimer(_ handler: any TimerHandler) { forget(handler) }

  /// All of them in the text format of Prometheus, version 0.0.4, in the order of their names.
  public var text: String {
    let all = instruments.withLock { Array($0) }
    var lines: [String] = []
    for (label, family) in Dictionary(grouping: all, by: \.key.label).sorted(by: { $0.key < $1.key }) {
      lines.append("# TYPE \(label) \(family[0].value.type)")
      let lined = family.map { series, instrument in
        instrument.samples.map { sample in
          let dimensions = series.dimensions.map { ($0.name, $0.value) } + sample.dimensions
          return "\(label)\(sample.suffix)\(Self.labels(dimensions)) \(sample.value)"
        }
      }
      lines += lined.sorted { ($0.first ?? "") < ($1.first ?? "") }.flatMap { $0 }
    }
    return lines.map { $0 + "\n" }.joined()
  }

  /// The instrument of a series: the one that is there, if it is of the kind that is asked for.
  private func instrument<Kind: PrometheusInstrument>(
    _ label: String, _ dimensions: [(String, String)], _ make: () -> Kind
  ) -> Kind {
    let series = Series(label: label, dimensions: dimensions.map { Dimension(name: $0.0, value: $0.1) })
    return instruments.withLock { instruments in
      if let existing = instruments[series] as? Kind { return existing }
      let made = make()
      instruments[series] = made
      return made
    }
  }

  private func forget(_ handler: AnyObject) {
    instruments.withLock { instruments in
      for (series, instrument) in instruments where instrument === handler { instruments[series] = nil }
    }
  }

  private static func labels(_ dimensions: [(String, String)]) -> String {
    guard !dimensions.isEmpty else { return "" }
    func escaped(_ text: String) -> String {
      text.reduce(into: "") { result, character in
        switch character {
        case "\\": result += "\\\\"
        case "\"": result += "\\\""
        case "\n": result += "\\n"
        default: result.append(character)
        }
      }
    }
    return "{" + dimensions.map { "\($0)=\"\(escaped($1))\"" }.joined(separator: ",") + "}"
  }
}
