import Control
import DWN
import DWNClient
import Identity
import Mesh
import Wire

/// Before there is a network, or this machine is in it: will these nodes hold its records?
enum Preflight {
  /// Throws when an endpoint cannot be reached, does not serve this machine as a tenant, or does not take the definitions of networks
  /// with this envelope. All of them are asked before anything is written; the definitions that are then installed are the ledger's,
  /// and stay.
  static func prepare(
    _ endpoints: [any DWNEndpoint], for envelope: Envelope, _ session: MeshSession, acceptsTerms: Bool
  ) async throws {
    let identity = session.identity
    let isNew = try session.directory.loadNetwork() == nil
    try await enter(endpoints, ForeignTenancy(identity: identity, acceptsTerms: acceptsTerms))
    for endpoint in endpoints { try await ask(endpoint, envelope, tenant: identity.did, isNew: isNew) }
    try await session.keeper.perform { try $0.install(envelope, now: .now()) }
    let definitions = await session.keeper.ledger.outgoing.filter { $0.network == nil }
    for endpoint in endpoints {
      for definition in definitions { try await install(definition, at: endpoint) }
    }
  }

  /// For a network that others have made. Throws when an endpoint would refuse its records; one that cannot be reached now, or that
  /// takes much longer to answer than another, is no error, since others may be there.
  static func check(_ endpoints: [any DWNEndpoint], hold envelope: Envelope, of anchor: DID) async throws {
    let probe = try AcceptanceProbe(tenant: anchor, envelope: envelope, random: SystemRandom(), now: .now())
    let answers = await EndpointRace.prompt(of: endpoints) { endpoint -> Acceptance? in
      let reason: String?
      do { reason = try await probe.refusal(by: endpoint) } catch { return nil }
      return Acceptance(name: endpoint.name, refusal: reason)
    }
    for answer in answers {
      guard let reason = answer.refusal else { continue }
      throw AgentError.failed("\(answer.name) does not take the records of this network: \(reason)")
    }
  }

  private struct Acceptance: Sendable {
    var name: String
    var refusal: String?
  }

  /// `isNew`: the network may still get another envelope.
  private static func ask(
    _ endpoint: any DWNEndpoint, _ envelope: Envelope, tenant: DID, isNew: Bool
  ) async throws {
    func refusal(_ envelope: Envelope) async throws -> String? {
      let probe = try AcceptanceProbe(tenant: tenant, envelope: envelope, random: SystemRandom(), now: .now())
      do { return try await probe.refusal(by: endpoint) } catch { throw AgentError.failed(error.description) }
    }
    guard let reason = try await refusal(envelope) else { return }
    if isNew, envelope == .jwe, try await refusal(.v1) == nil {
      throw AgentError.failed(
        "\(endpoint.name) does not take the encryption of meshd's networks (\(reason)); with --v1 the network gets encryption v1, "
          + "which it takes and which proves less: see 'meshd up --help'")
    }
    throw AgentError.failed("\(endpoint.name) does not take the records of a network: \(reason)")
  }

  private static func install(
    _ definition: AuthoredMessage, at endpoint: any DWNEndpoint
  ) async throws(AgentError) {
    let reply: Reply
    do {
      reply = try await endpoint.process(
        tenant: definition.tenant, message: definition.signed.message.value, data: nil)
    } catch {
      throw .failed(error.description)
    }
    guard reply.status.isSuccess || reply.status.code == 409 else {
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
