import Foundation
import Wire

/// How two machines found each other.
struct PairMeasurement: Sendable {
  enum Path: String, Sendable { case direct, relay }

  let pair: HostPair
  /// Who carried the payload: the anchor's relay, or nobody but the routers.
  var path: Path
  /// Whether it came as it was sent.
  var payload: Bool
  /// From the first packet sent into the TUN to the first answer.
  var firstPacketSeconds: Double?
  /// From the first packet sent into the TUN until both daemons use a direct path.
  var directSeconds: Double?

  /// Bytes of the payload.
  private static let size = 200_000

  /// What contradicts the expectation, `nil` if nothing does.
  var fault: String? {
    guard firstPacketSeconds != nil else { return "no packet came through" }
    guard payload else { return "the payload did not arrive as it was sent" }
    switch pair.expectation {
    case .either: return nil
    case .relay: return path == .relay ? nil : "the path is direct, where none can be"
    case .direct: return path == .direct && directSeconds != nil ? nil : "the path is not direct"
    }
  }

  /// An element of `lab.json`.
  var json: JSONValue {
    func number(_ seconds: Double?) -> JSONValue {
      seconds.flatMap { try? JSONValue(parsing: Array(String(format: "%.3f", $0).utf8)) } ?? .null
    }
    return [
      "left": .string(pair.left.rawValue), "right": .string(pair.right.rawValue), "path": .string(path.rawValue),
      "payload": .bool(payload), "firstPacketSeconds": number(firstPacketSeconds),
      "directSeconds": number(path == .direct ? directSeconds : nil),
    ]
  }

  /// Builds a mesh for the pair and watches it.
  static func of(_ pair: HostPair) async throws -> PairMeasurement {
    try await PairLab.run(pair) { lab in
      let measurement = try await of(lab)
      if let fault = measurement.fault {
        print("\(pair.testDescription): \(fault)")
        try await lab.printState()
      }
      return measurement
    }
  }

  private static func of(_ lab: PairLab) async throws -> PairMeasurement {
    let traffic = try await MeshTraffic.start(
      from: lab.left.namespace, to: lab.right.namespace, at: lab.rightAddress)
    defer { traffic.stop() }
    var measurement = PairMeasurement(pair: lab.pair, path: .relay, payload: false)
    guard try await eventually(.seconds(5), { traffic.began != nil }), let began = traffic.began else {
      throw Missing(what: "the first packet", in: "the tunnel")
    }
    func seconds(to moment: ContinuousClock.Instant) -> Double { began.duration(to: moment) / .seconds(1) }
    // Whatever can be direct has got this long; whatever cannot is watched for a while.
    let patience: Duration =
      switch lab.pair.expectation {
      case .direct: .seconds(20)
      case .either: .seconds(15)
      case .relay: .seconds(3)
      }
    let isDirect = try await eventually(patience, every: .milliseconds(20)) {
      try await lab.paths().allSatisfy { $0 == "direct" }
    }
    if isDirect { measurement.directSeconds = seconds(to: .now) }
    _ = try await eventually(.seconds(20)) { traffic.answer(toPacketAfter: began) != nil }
    guard let first = traffic.answer(toPacketAfter: began) else { return measurement }
    measurement.firstPacketSeconds = seconds(to: first)
    let before = try await lab.bytesAtAnchor()
    measurement.payload = try await lab.carries(size, to: lab.rightAddress)
    measurement.path = try await lab.bytesAtAnchor() - before > size / 2 ? .relay : .direct
    return measurement
  }
}
