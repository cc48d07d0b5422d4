import Cryptography
import DWN
import Identity

/// What verified records say, opened and parsed once.
struct OpenedRecords: Sendable {
  enum Payload: Sendable {
    case network(NetworkRecord)
    case member(MemberRecord)
    /// With the WireGuard key that its recipient's DID gives; `nil` if it gives none, or one of small order.
    case node(NodeRecord, X25519PublicKey?)
    case nodeInfo(NodeInfoRecord)
    case endpoint(EndpointRecord)
    case relay(RelayClaim)
    case policy(ACLPolicy)
    case unusable(MeshError)
  }

  private var cipher: any RecordCipher
  private var payloads: [String: Payload] = [:]

  init(_ cipher: any RecordCipher) {
    self.cipher = cipher
  }

  /// What could not be opened for want of a key is tried again.
  mutating func use(_ cipher: any RecordCipher) {
    self.cipher = cipher
    payloads = payloads.filter { if case .unusable = $0.value { false } else { true } }
  }

  mutating func keep(only elements: some Collection<String>) {
    guard payloads.count > 2 * elements.count + 64 else { return }
    let kept = Set(elements)
    payloads = payloads.filter { kept.contains($0.key) }
  }

  /// What a record says, remembered.
  mutating func payload(_ held: HeldRecords.Held) -> Payload {
    if let known = payloads[held.write.signed.element] { return known }
    let payload = open(held)
    payloads[held.write.signed.element] = payload
    return payload
  }

  /// The same, opened anew where it was not asked for before.
  func peek(_ held: HeldRecords.Held) -> Payload {
    payloads[held.write.signed.element] ?? open(held)
  }

  private func open(_ held: HeldRecords.Held) -> Payload {
    do {
      let plaintext = try cipher.open(held.write, data: held.data)
      switch held.write.path {
      case MeshProtocol.network: return .network(try NetworkRecord(parsing: plaintext))
      case MeshProtocol.member: return .member(try MemberRecord(parsing: plaintext))
      case MeshProtocol.node, MeshProtocol.memberNode:
        return .node(try NodeRecord(parsing: plaintext), held.write.recipient?.wireGuardKey)
      case MeshProtocol.nodeInfo, MeshProtocol.memberNodeInfo: return .nodeInfo(try NodeInfoRecord(parsing: plaintext))
      case MeshProtocol.endpoint, MeshProtocol.memberEndpoint: return .endpoint(try EndpointRecord(parsing: plaintext))
      case MeshProtocol.relay: return .relay(try cipher.relay(parsing: plaintext))
      default: return .policy(try ACLPolicy(parsing: plaintext))
      }
    } catch {
      return .unusable(error)
    }
  }
}
