import Cryptography
import Mesh
import Netmap
import Wire

/// Who may use a relay, as a daemon's accepted state or a file has it.
struct RelayMembers: Hashable, Sendable {
  var keys: Set<X25519PublicKey>
  /// Whether all of them run meshd and so name the relay when they log in there. Whoever names none is then none of them: a relay
  /// that one of them used elsewhere passes on what it was told (`docs/decisions/relay-logins.md`).
  var nameRelay: Bool

  init(_ keys: Set<X25519PublicKey>, nameRelay: Bool) {
    self.keys = keys
    self.nameRelay = nameRelay
  }

  /// The machines of a network. Where its envelope is one of others, theirs may be among them.
  init(of netmap: Netmap, in envelope: Envelope) {
    self.init(Set(netmap.peers.map(\.key)).union([netmap.node.key]), nameRelay: envelope == .jwe)
  }

  /// What a daemon tells a relay beside it.
  var json: JSONValue {
    ["keys": .array(keys.sorted().map { .string($0.base64) }), "nameRelay": .bool(nameRelay)]
  }

  /// `nil` if it cannot be read.
  init?(json: JSONValue) {
    guard let keys = json["keys"]?.array, let nameRelay = json["nameRelay"]?.bool else { return nil }
    self.init(Set(keys.compactMap { $0.string.flatMap { X25519PublicKey(base64: $0) } }), nameRelay: nameRelay)
  }
}
