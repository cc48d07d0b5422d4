public import Cryptography
import DWN
import Wire

/// What a head covers: the elements of everything that is live, and the hash over them (`trust.md` section 4).
public struct LiveSet: Hashable, Sendable {
  public private(set) var elements: Set<String>

  public init(_ elements: some Sequence<String> = []) {
    self.elements = Set(elements)
  }

  /// SHA-256 over the elements, sorted bytewise, each followed by LF.
  public var hash: Bytes32 {
    var stream = SHA256Stream()
    for element in elements.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
      stream.update(Array((element + "\n").utf8))
    }
    return Bytes32(stream.finalize())!
  }

  /// Whether records at this path are covered by heads.
  static func covers(_ path: ProtocolPath) -> Bool {
    switch path {
    case MeshProtocol.network, MeshProtocol.node, MeshProtocol.memberNode, MeshProtocol.member, MeshProtocol.aclPolicy,
      MeshProtocol.relay:
      true
    default: false
    }
  }
}
