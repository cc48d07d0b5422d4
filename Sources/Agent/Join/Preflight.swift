import Control
import DWN
import DWNClient
import Identity
import Mesh
import Wire

/// Before there is a network: will these nodes hold one of ours?
enum Preflight {
  /// Throws when an endpoint cannot be reached, does not serve this machine as a tenant, or does not take the definitions of networks
  /// with this envelope. That can only be found out by installing them: they are the ledger's, and stay.
  static func prepare(
    _ endpoints: [any DWNEndpoint], for envelope: Envelope, _ session: MeshSession, acceptsTerms: Bool
  ) async throws {
    try await enter(endpoints, ForeignTenancy(identity: session.identity, acceptsTerms: acceptsTerms))
    try await session.keeper.perform { try $0.install(envelope, now: .now()) }
    let definitions = await session.keeper.ledger.outgoing.filter { $0.network == nil }
    for endpoint in endpoints {
      for definition in definitions { try await install(definition, at: endpoint, envelope) }
    }
  }

  private static func install(
    _ definition: AuthoredMessage, at endpoint: any DWNEndpoint, _ envelope: Envelope
  ) async throws(AgentError) {
    let reply: Reply
    do {
      reply = try await endpoint.process(
        tenant: definition.tenant, message: definition.signed.message.value, data: nil)
    } catch {
      throw .failed(error.description)
    }
    switch (reply.status.code, envelope) {
    case (200..<300, _), (409, _): return
    case (400, .jwe):
      throw .failed(
        "\(endpoint.name) does not take the encryption of meshd's networks (\(reply.status.detail)); with --v1 the network gets "
          + "encryption v1, which today's public nodes take and which proves less: see 'meshd up --help'")
    default:
      throw .failed(
        "\(endpoint.name) does not take the mesh protocol: \(reply.status.code) \(reply.status.detail)")
    }
  }

  private static func enter(_ endpoints: [any DWNEndpoint], _ tenancy: ForeignTenancy) async throws(AgentError) {
    for endpoint in endpoints {
      let reply: Reply
      do { reply = try await tenancy.enter(endpoint) } catch { throw .failed(error.description) }
      guard reply.status.isSuccess else {
        throw .failed(
          "\(endpoint.name) does not serve this machine: \(reply.status.code) \(reply.status.detail); "
            + "its operator adds --tenant \(tenancy.identity.did)")
      }
    }
  }
}
