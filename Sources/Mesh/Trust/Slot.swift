import DWN

/// The place that a message has among those that replace each other (`trust.md` section 3).
///
/// Heads (newer is: higher `seq`), a reader's own contextKey and the definition of the mesh have one place each and are kept apart.
enum SlotKey: Hashable {
  /// network, node, member, relay: newer is a higher timestamp of this record.
  case record(RecordID)
  /// aclPolicy, nodeInfo, endpoint: newer is a higher timestamp at this path below this parent, whatever the record.
  case place(ProtocolPath, ContextID)

  init(_ write: RecordsWrite) {
    switch write.path {
    case MeshProtocol.aclPolicy, MeshProtocol.nodeInfo, MeshProtocol.endpoint, MeshProtocol.memberNodeInfo,
      MeshProtocol.memberEndpoint:
      // These paths have at least two segments, and `RecordsWrite` has no fewer ids in its context.
      self = .place(write.path, write.contextID.parent!)
    default:
      self = .record(write.recordID)
    }
  }
}
