import DWN
import Identity
public import Wire

/// What a machine writes about itself.
public enum OwnRecord: Hashable, Sendable {
  case nodeInfo(NodeInfoRecord)
  case endpoint(EndpointRecord)
}

extension Ledger {
  /// Writes this machine's nodeInfo or endpoint below its node record: an initial write that squashes the one before, without a
  /// role, addressed to the anchor.
  ///
  /// `cipher` is that of the reader: without it nothing encrypted may be written. `above` is a stamp that a node showed in this
  /// place and that the new one must exceed.
  public mutating func publish(
    _ record: OwnRecord, below node: MeshView.Node, in network: NetworkReference, cipher: some RecordCipher,
    above shown: WallTime? = nil, now: WallTime, random: any RandomSource
  ) throws(LedgerError) -> LedgerChange {
    if network.anchor == identity.did { _ = try requireOwned(network.id) }
    guard node.did == identity.did, let path = path(of: record, below: node.path) else {
      throw .notAMember(identity.did)
    }
    let draft: RecordDraft
    do throws(MeshError) {
      let plaintext =
        switch record {
        case .nodeInfo(let info): try info.encoded()
        case .endpoint(let endpoint): try endpoint.bounded().encoded()
        }
      let sealed = try cipher.seal(plaintext, at: path, random: random)
      draft = RecordDraft(
        protocolURI: MeshProtocol.uri, path: path, parent: node.contextID, schema: MeshProtocol.schema(of: path),
        recipient: network.anchor, squash: true, encryption: sealed.encryption, data: sealed.data)
    } catch {
      throw .mesh(error)
    }
    var next = self
    var change = LedgerChange()
    try next.write(draft, tenant: network.anchor, network: network.id, above: shown, now: now, to: &change)
    let replaced = next.log.messages.filter { $0.write?.path == path && $0.write?.contextID.parent == node.contextID }
      .dropLast()
    next.log.reduce(Set(replaced.map(\.element)), in: &change)
    self = next
    return change
  }

  private func path(of record: OwnRecord, below node: ProtocolPath) -> ProtocolPath? {
    switch record {
    case .nodeInfo: MeshProtocol.nodeInfo(under: node)
    case .endpoint: MeshProtocol.endpoint(under: node)
    }
  }
}
