import Control
import DWN
import Identity
import Logging
import Mesh
import Wire

/// The anchor lets other nodes of others hold its network's records than before.
///
/// A node that comes new gets everything that the ledger holds. Members learn of it from the network's record, at the nodes that they
/// know; those that are left get that record last, once the others have it.
extension MeshSession {
  /// The records lie on these nodes from now on.
  func move(_ network: inout NetworkState, to urls: [String], acceptsTerms: Bool) async throws {
    let former = try canonical(network.endpoints)
    try await prepare(urls, besides: former, network, acceptsTerms: acceptsTerms)
    // Kept first: a node that is told although it is not left lacks nothing.
    network.leave(former, for: urls)
    try directory.save(network)
    try await advertise(urls, in: &network)
  }

  /// After a move that was interrupted the network's record says which nodes they are.
  func endMove(_ network: inout NetworkState) async throws {
    guard network.anchor == identity.did, !Set(network.left).isDisjoint(with: try canonical(network.endpoints)),
      let named = await keeper.ledger.record(of: network.reference.id)?.anchorEndpoints, !named.isEmpty
    else { return }
    network.endpoints = named
    network.left.removeAll(where: named.contains)
    try directory.save(network)
  }

  /// These hold the records beside this machine's own node from now on; `nodeURLs`: of all of them.
  func replicate(
    _ network: inout NetworkState, to urls: [String], nodeURLs: [String], acceptsTerms: Bool
  ) async throws {
    try await prepare(urls, besides: network.replicas, network, acceptsTerms: acceptsTerms)
    network.leave(network.replicas, for: urls)
    network.replicas = urls
    try directory.save(network)
    try await advertise(nodeURLs, in: &network)
  }

  private func prepare(
    _ urls: [String], besides former: [String], _ network: NetworkState, acceptsTerms: Bool
  ) async throws {
    let news = try endpoints(urls.filter { !former.contains($0) })
    guard !news.isEmpty else { return }
    try await Preflight.prepare(news, for: network.envelope, self, acceptsTerms: acceptsTerms)
  }

  /// How long a node that is left may take to hear where the others are.
  private static let leaveLimit = Duration.seconds(10)

  /// Gives nodes that are left what they lack: whoever follows them reads there where the records are now.
  ///
  /// - Returns: those that have it.
  func takeLeave(of urls: [String], in network: NetworkState, logger: Logger) async -> Set<String> {
    guard let left = try? endpoints(urls) else { return [] }
    return await withTaskGroup(of: String?.self) { group in
      for endpoint in left {
        // Those that are left have no say in what is refused.
        let publisher = Publisher(
          keeper: keeper, endpoint: endpoint, quorum: RefusalQuorum([]), network: network.reference,
          clock: SystemClock(), logger: logger)
        group.addTask { await publisher.publish() == .finished ? endpoint.name : "" }
      }
      group.addTask {
        try? await Task.sleep(for: Self.leaveLimit)
        return nil
      }
      var told: Set<String> = []
      for _ in left {
        guard let name = await group.next() ?? nil else { break }
        told.insert(name)
      }
      group.cancelAll()
      return told
    }
  }
}

extension NetworkState {
  fileprivate mutating func leave(_ former: [String], for urls: [String]) {
    left = Set(left + former).subtracting(urls).sorted()
    leftAt = .now()
  }

  /// What has been away for so long does not come back, and whoever follows it has been told otherwise, or is gone.
  private static let leavePeriod = Duration.seconds(30 * 86_400)

  func hasLeftLongAgo(at now: WallTime) -> Bool { leftAt.map { now - $0 > Self.leavePeriod } ?? true }

  /// What a person has to know of nodes that are left and do not answer.
  var leaveWarnings: [String] {
    left.map {
      "\($0) has not been told where the records are now: machines that know no other node find them with 'meshd up "
        + endpoints.prefix(3).map { "--endpoint \($0)" }.joined(separator: " ") + "'"
    }
  }
}
