import Control
import DWN
import Identity
import Logging
import Mesh
import Wire

/// The way of a start into its network.
extension MeshSession {
  /// Makes the network, joins it, or takes up the one that is there, with the nodes and the addresses of today.
  ///
  /// `nodeURLs`: where this machine's own node is reached; `nil`: it has none.
  func enter(
    _ request: UpRequest, _ existing: NetworkState?, nodeURLs: [String]?, _ replicas: [String], _ relay: RelayPlan?,
    _ logger: Logger
  ) async throws -> NetworkState {
    if let name = request.create {
      let foreign = try endpoints(request.endpoints + replicas)
      if !foreign.isEmpty {
        try await Preflight.prepare(foreign, for: request.envelope, self, acceptsTerms: request.acceptsTerms)
      }
      return try await createNetwork(
        named: name, cidr: request.cidr, envelope: request.envelope, endpoints: nodeURLs ?? request.endpoints,
        embedsNode: nodeURLs != nil, replicas: replicas, relay: relay)
    }
    if request.acceptsTerms, let existing {
      let tenancy = ForeignTenancy(identity: identity, acceptsTerms: true)
      do { try await tenancy.enterWherePossible(try endpoints(existing.foreignEndpoints)) } catch {
        // The tunnels need no node.
        logger.warning("a node does not take the agreement", metadata: ["reason": "\(error)"])
      }
    }
    if var network = existing, request.movesOwn(network, of: identity.did) {
      try await move(&network, to: canonical(request.endpoints), acceptsTerms: request.acceptsTerms)
      return network
    }
    if let anchor = request.anchor, let id = request.networkID, !request.names(existing) {
      return try await joinNetwork(
        NetworkID(id), of: anchor, urls: request.endpoints,
        endpoints: try endpoints(request.endpoints), acceptsTerms: request.acceptsTerms
      ).0
    }
    guard var network = existing else { throw AgentError.noNetwork }
    guard let nodeURLs else {
      try await endMove(&network)
      return network
    }
    if replicas != network.replicas {
      try await replicate(&network, to: replicas, nodeURLs: nodeURLs, acceptsTerms: request.acceptsTerms)
      return network
    }
    do { try await advertise(nodeURLs, in: &network) } catch let error as LedgerError {
      // A ledger that takes no decisions any more keeps nobody from going on.
      guard case .foreignWriter = error else { throw error }
      logger.error("the records cannot say where this machine is reached", metadata: ["reason": "\(error)"])
    }
    return network
  }
}
