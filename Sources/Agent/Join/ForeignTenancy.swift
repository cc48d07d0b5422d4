import DWN
import DWNClient
import Identity
import Mesh
import Wire

/// Whether nodes that others run keep records for this machine, and what makes them.
struct ForeignTenancy {
  let identity: MachineIdentity
  /// Whether the person agrees to what terms of service a node has.
  let acceptsTerms: Bool

  /// Asks a node whether this machine is a tenant. If it is none, it does what the node asks of newcomers, and asks again.
  ///
  /// The last reply is returned: success means that this machine is a tenant.
  func enter(_ endpoint: any DWNEndpoint) async throws(RegistrationError) -> Reply {
    let reply = try await ask(endpoint)
    guard reply.status.code == 401, let node = endpoint as? HTTPEndpoint else { return reply }
    do {
      try await node.register(identity.did, acceptsTerms: acceptsTerms)
    } catch .endpoint {
      // It says nothing of how to become one.
      return reply
    }
    return try await ask(endpoint)
  }

  /// Enters wherever that is possible. Endpoints that cannot be reached now, and those whose operators name their tenants, are no error;
  /// others are one where no endpoint can be entered.
  func enterWherePossible(_ endpoints: [any DWNEndpoint]) async throws(AgentError) {
    var hasEntered = false
    var failure: AgentError?
    for endpoint in endpoints {
      do { hasEntered = try await enter(endpoint).status.isSuccess || hasEntered } catch {
        if case .endpoint = error { continue }
        failure = failure ?? .failed(error.description)
      }
    }
    if let failure, !hasEntered { throw failure }
  }

  private func ask(_ endpoint: any DWNEndpoint) async throws(RegistrationError) -> Reply {
    let query = MessageSigner(identity).protocolsQuery(protocolURI: MeshProtocol.uri, at: .now())
    do {
      return try await endpoint.process(tenant: identity.did, message: query.message.value, data: nil)
    } catch {
      throw .endpoint(error)
    }
  }
}
