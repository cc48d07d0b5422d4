import DWN
import Wire

extension DWNControlPlane {
  /// The endpoints that are asked and written to, and what is wrong with them.
  func endpointReports() async -> [ControlStatus.Endpoint] {
    var reports: [ControlStatus.Endpoint] = []
    for (index, endpoint) in activeEndpoints {
      let lacking = await lacking(at: endpoint.name)
      let (now, wall) = (clock.now(), clock.wallTime())
      let reading = readTroubles[index].flatMap { now - $0.lastAt <= EndpointTrouble.relevance ? $0 : nil }
      let troubles = [lines[index].trouble, reading].compactMap { $0 }
      let since = troubles.map(\.since).min().map { wall + (.zero - max(.zero, now - $0)) }
      reports.append(
        ControlStatus.Endpoint(
          name: endpoint.name, lacking: lacking,
          trouble: since.flatMap { since in troubles.first.map { .init(reason: $0.reason, since: since) } }))
    }
    return reports
  }

  /// What nobody can read yet, for people. Where one endpoint has everything the others' lack is no unfinished work: members find
  /// it at that one, and what runs goes on sending it to the others.
  func unpublished(_ endpoints: [ControlStatus.Endpoint], isRunning: Bool) -> [String] {
    guard isRunning else { return endpoints.compactMap { $0.unpublished.map { "\($0); 'meshd up' does it" } } }
    return endpoints.allSatisfy { $0.lacking > 0 } ? endpoints.compactMap(\.unpublished) : []
  }

  func noteTrouble(_ reason: String, reading index: Int) {
    let now = clock.now()
    readTroubles[index] = EndpointTrouble(reason: reason, since: readTroubles[index]?.since ?? now, lastAt: now)
  }
}

extension ControlStatus.Endpoint {
  /// What it lacks, and why, for people; `nil`: nothing.
  var unpublished: String? {
    guard lacking > 0 else { return nil }
    let what = lacking == 1 ? "1 message is" : "\(lacking) messages are"
    return "\(what) not yet published to \(name)" + (trouble.map { ": \($0.reason)" } ?? "")
  }
}

/// Why an endpoint does not do what it is asked, and since when.
struct EndpointTrouble: Hashable, Sendable {
  /// An endpoint that has not been asked for so long may do again what it did not: nothing is said of it.
  static let relevance: Duration = .seconds(90)

  var reason: String
  var since: Instant
  /// When it was so last.
  var lastAt: Instant

  /// What stands in the way where a node serves a tenant no more, for people. The terms of service that its operator changed are agreed
  /// to by whose tenant it is.
  static func reason(refusedBy name: String, _ detail: String, isOwnTenant: Bool) -> String {
    guard detail.contains("terms-of-service") else { return "\(name) does not serve this machine: \(detail)" }
    let place = "\(name)/registration/terms-of-service"
    return isOwnTenant
      ? "\(name) has other terms of service now: read them at \(place), and agree with 'meshd down' and 'meshd up --accept-terms'"
      : "\(name) has other terms of service now, and the anchor has not agreed to them yet"
  }
}
