import Wire

/// The indices that peers write into messages to us, and what each stands for.
///
/// They are random: consecutive ones would tell an observer how many peers there are and link a peer's sessions.
struct IndexTable: Sendable {
  enum Owner: Sendable {
    case handshake(PeerID)
    case session(PeerID)

    var peer: PeerID {
      switch self {
      case .handshake(let peer), .session(let peer): peer
      }
    }
  }

  private var owners: [UInt32: Owner] = [:]

  var count: Int { owners.count }

  subscript(index: UInt32) -> Owner? { owners[index] }

  /// A free index, by rejection.
  mutating func allocate(for owner: Owner, _ random: any RandomSource) -> UInt32 {
    while true {
      let index = random.uint32()
      if owners[index] == nil {
        owners[index] = owner
        return index
      }
    }
  }

  /// The handshake with this index became a session, which keeps it.
  mutating func turnIntoSession(_ index: UInt32, of peer: PeerID) { owners[index] = .session(peer) }

  mutating func release(_ index: UInt32) { owners[index] = nil }
}
