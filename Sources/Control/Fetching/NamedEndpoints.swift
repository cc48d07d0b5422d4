import DWN
import DWNClient
import Logging
import Mesh

/// The nodes that the anchor's network record names, taken up as they change: who joined by one address finds the others, and is
/// not lost when the anchor moves.
extension DWNControlPlane {
  /// More than these are not taken up.
  static let endpointLimit = 16

  /// Compares the endpoints with those that the record names. One that is not named stays as long as it is the one that works.
  func reviseEndpoints() {
    guard let dial = configuration.dial, let urls = view?.record?.anchorEndpoints, !urls.isEmpty else { return }
    let named = urls.prefix(Self.endpointLimit).compactMap { try? EndpointURL($0) }
    guard !named.isEmpty else { return }
    for url in named where endpoints.count < Self.endpointLimit && !endpoints.contains(where: { $0.name == url.text }) {
      logger.info("another endpoint is named", metadata: ["endpoint": "\(url)"])
      add(dial(url))
    }
    for (index, endpoint) in endpoints.enumerated() {
      let isRetired = !named.contains { $0.text == endpoint.name }
      guard choice.retired.contains(index) != isRetired else { continue }
      choice.retire(index, isRetired)
      if choice.retired.contains(index) { want(index, false) }
      for job in [Job.fetch(index), .publish(index)] { wake(job) }
    }
    // The one that works comes first, whatever the order of the record.
    let preferred = endpoints[choice.preferred].name
    let inUse = [preferred] + named.map(\.text).filter { $0 != preferred }
    if inUse != told {
      told = inUse
      endpointSink.yield(inUse)
    }
  }

  /// The endpoints that are asked and written to.
  var activeEndpoints: [(index: Int, endpoint: any DWNEndpoint)] {
    endpoints.enumerated().filter { !choice.retired.contains($0.offset) }.map { ($0.offset, $0.element) }
  }
}
