import DWN
import Identity
import Mesh
import Wire

/// What a machine finds out about a network before it joins: that it is there, that its anchor signed it, and what it is called.
struct NetworkProbe {
  let id: NetworkID
  let anchor: DID
  let identity: MachineIdentity

  struct Finding {
    var record: NetworkRecord
    /// What the network's id commits it to.
    var envelope: Envelope
    /// Whether the anchor has written a node record for this machine.
    var isAdmitted: Bool
  }

  /// Asks the endpoints, one a moment after the other; the first that knows the network decides.
  func find(at endpoints: [any DWNEndpoint], now: WallTime) async throws(AgentError) -> Finding {
    try await EndpointRace.first(of: endpoints) { endpoint throws(AgentError) in try await find(at: endpoint, now: now)
    }
  }

  private func find(at endpoint: any DWNEndpoint, now: WallTime) async throws(AgentError) -> Finding {
    let signer = MessageSigner(identity)
    let read = signer.recordsRead(RecordsFilter(protocolURI: MeshProtocol.uri, recordID: id.recordID), at: now)
    let reply = try await ask(endpoint, read)
    guard reply.status.isSuccess, let entry = reply.entry else {
      throw .failed(
        "network not found at \(endpoint.name): \(reply.status.code) \(reply.status.detail); check --anchor and --network"
      )
    }
    let (record, envelope) = try check(entry, shownBy: endpoint.name)
    let query = signer.recordsQuery(
      RecordsFilter(
        protocolURI: MeshProtocol.uri, path: MeshProtocol.node, contextID: id.contextID,
        recipient: [identity.did]), at: now + .microseconds(1))
    let nodes = try await ask(endpoint, query)
    return Finding(record: record, envelope: envelope, isAdmitted: nodes.status.isSuccess && !nodes.entries.isEmpty)
  }

  private func ask(_ endpoint: any DWNEndpoint, _ message: SignedMessage) async throws(AgentError) -> Reply {
    do {
      return try await endpoint.process(tenant: anchor, message: message.message.value, data: nil)
    } catch {
      throw .failed(error.description)
    }
  }

  /// The network record proves itself: its id is computed from the descriptor that the anchor signed.
  private func check(_ entry: ReplyEntry, shownBy name: String) throws(AgentError) -> (NetworkRecord, Envelope) {
    let write: RecordsWrite
    let initial: RecordsWrite
    do {
      write = try RecordsWrite(SignedMessage(checking: Message(entry.message), resolver: OfflineResolver()))
      initial =
        try entry.initialWrite.map { json throws(DWNError) in
          try RecordsWrite(SignedMessage(checking: Message(json), resolver: OfflineResolver()))
        } ?? write
    } catch {
      throw .failed("\(name) shows a network record that does not check out: \(error)")
    }
    guard write.recordID == id.recordID, initial.recordID == write.recordID, initial.isInitial,
      write.path == MeshProtocol.network, write.protocolURI == MeshProtocol.uri,
      Authority(anchor: anchor).mayWrite(write.author, path: write.path, parentRecipient: nil),
      initial.author == write.author,
      write.immutableMemberChanged(from: initial) == nil, let data = entry.data, write.matches(data: data)
    else {
      throw .failed(
        "\(name) shows a network record that is not the anchor's: do not trust that node, or check --anchor and --network"
      )
    }
    guard let envelope = Envelope(committedIn: initial.tags) else {
      throw .failed("this network's records have an envelope that this version does not know: update meshd")
    }
    do { return (try NetworkRecord(parsing: data), envelope) } catch {
      throw .failed("the anchor's network record cannot be read: \(error)")
    }
  }
}
