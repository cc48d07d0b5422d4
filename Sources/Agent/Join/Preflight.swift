import DWN
import DWNClient
import Identity
import Mesh
import Wire

/// Before anything is written: will these nodes hold a network of ours?
enum Preflight {
  /// Throws when an endpoint cannot be reached or does not serve this machine as a tenant.
  static func check(_ endpoints: [any DWNEndpoint], identity: MachineIdentity) async throws(AgentError) {
    let query = MessageSigner(identity).protocolsQuery(protocolURI: MeshProtocol.uri, at: .now())
    for endpoint in endpoints {
      let reply: Reply
      do {
        reply = try await endpoint.process(tenant: identity.did, message: query.message.value, data: nil)
      } catch {
        throw .failed(error.description)
      }
      guard reply.status.isSuccess else {
        throw .failed(
          "\(endpoint.name) does not serve this machine: \(reply.status.code) \(reply.status.detail); "
            + (await requirements(of: endpoint) ?? "its operator adds --tenant \(identity.did)"))
      }
    }
  }

  /// What the node says that a tenant has to do first; `nil` if it names nothing.
  private static func requirements(of endpoint: any DWNEndpoint) async -> String? {
    guard let information = try? await (endpoint as? HTTPEndpoint)?.information(), !information.registration.isEmpty
    else { return nil }
    return "it asks for \(information.registration.map(\.description).joined(separator: " and "))"
  }
}
