import DWN
import Wire

extension DWNControlPlane {
  /// The endpoints that are asked and written to, and what is wrong with them.
  func endpointReports() async -> [ControlStatus.Endpoint] {
    var reports: [ControlStatus.Endpoint] = []
    for (index, endpoint) in activeEndpoints {
      let troubles = [lines[index].trouble, readTroubles[index]].compactMap { $0 }
      let lacking = await lacking(at: endpoint.name)
      let (now, wall) = (clock.now(), clock.wallTime())
      let since = troubles.map(\.since).min().map { wall + (.zero - max(.zero, now - $0)) }
      reports.append(
        ControlStatus.Endpoint(
          name: endpoint.name, lacking: lacking,
          trouble: since.flatMap { since in troubles.first.map { .init(reason: $0.reason, since: since) } }))
    }
    return reports
  }

  /// What nobody can read yet, for people. Where one endpoint has everything the others' lack is no unfinished work: members find
  /// it at that one.
  func unpublished(_ endpoints: [ControlStatus.Endpoint]) -> [String] {
    guard endpoints.allSatisfy({ $0.lacking > 0 }) else { return [] }
    return endpoints.map { endpoint in
      let what = endpoint.lacking == 1 ? "1 message is" : "\(endpoint.lacking) messages are"
      let why = endpoint.trouble.map { ": \($0.reason)" } ?? ""
      return "\(what) not yet published to \(endpoint.name)\(why)"
    }
  }

  func noteTrouble(_ reason: String, reading index: Int) {
    readTroubles[index] = EndpointTrouble(reason: reason, since: readTroubles[index]?.since ?? clock.now())
  }
}

/// Why an endpoint does not do what it is asked, and since when.
struct EndpointTrouble: Hashable, Sendable {
  var reason: String
  var since: Instant

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
