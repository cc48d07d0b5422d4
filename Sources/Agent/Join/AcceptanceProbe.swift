import DWN
import DWNClient
import Identity
import Mesh
import Wire

/// Asks nodes whether they would take a network's records, without writing any (`trust.md` 9).
///
/// No node says at `/info` which encryption it takes. But it looks at the form of a message before it asks who may write it. What a
/// stranger sends is refused in any case, and why it is refused tells whether the form was one that the node takes. The stranger is
/// made for the question and forgotten, and sends what a network begins with: its definitions, and its first encrypted record, below
/// a network that is nowhere.
struct AcceptanceProbe {
  /// Who has, or will have, a network there.
  let tenant: DID
  let envelope: Envelope
  private let definitions: [AuthoredMessage]
  private let record: AuthoredMessage?
  /// The most data that a record of a network may have, in bytes.
  private let largestData: Int

  init(tenant: DID, envelope: Envelope, random: any RandomSource, now: WallTime) throws {
    self.tenant = tenant
    self.envelope = envelope
    let stranger = MachineIdentity.generate(random: random)
    var ledger = try Ledger(identity: stranger)
    let plan = NetworkPlan(record: NetworkRecord(name: "probe"), envelope: envelope)
    let messages = try ledger.createNetwork(plan, now: now, random: random).change.messages
    definitions = messages.filter { $0.network == nil }
    record = messages.first { $0.write?.encryption != nil && $0.write?.path == MeshProtocol.node }
    let definition = MeshDefinition.mesh(of: stranger, envelope: envelope)
    largestData = definition.sizeLimits.values.max() ?? MeshDefinition.defaultSizeLimit
  }

  /// Why a node would not take the records, in its own words where it has some; `nil`: it would.
  func refusal(by endpoint: any DWNEndpoint) async throws(EndpointError) -> String? {
    if let limit = try? await (endpoint as? HTTPEndpoint)?.information().largestData, limit < largestData {
      return "it takes data of at most \(limit) bytes, and a network's records may have \(largestData)"
    }
    for definition in definitions {
      let status = try await status(of: definition, at: endpoint)
      // Not the stranger's to install: so far it was well formed.
      guard status.code == 401 else { return Self.words(status) }
    }
    guard let record else { return nil }
    let status = try await status(of: record, at: endpoint)
    return status.isSuccess || Self.isAboutForm(status) ? Self.words(status) : nil
  }

  private func status(
    of message: AuthoredMessage, at endpoint: any DWNEndpoint
  ) async throws(EndpointError) -> Reply.Status {
    try await endpoint.process(tenant: tenant, message: message.signed.message.value, data: message.data).status
  }

  private static func words(_ status: Reply.Status) -> String {
    status.isSuccess ? "it takes from strangers what only its tenants may write" : String(status.detail.prefix(300))
  }

  private static func isAboutForm(_ status: Reply.Status) -> Bool {
    status.code == 413
      || status.code == 400
        && ["SchemaValidator", "RecordsWriteValidateIntegrityEncryption"].contains { status.detail.hasPrefix($0) }
  }
}
