import Cryptography
public import Identity

/// The relays of members in networks with encryption v1, where no record can name them: a machine's endpoint record does, and they
/// have ids that follow from who runs them (`reach.md` section 2).
public enum RelayPin {
  /// 32768 and the first 15 bits of SHA-256 of the machine's DID.
  public static func id(of node: DID) -> UInt16 {
    let digest = SHA2.sha256(Array(node.text.utf8))
    return 0x8000 | (UInt16(digest[0]) << 8 | UInt16(digest[1])) >> 1
  }

  /// Whether an id is one of these.
  public static func isPin(_ id: UInt16) -> Bool { id & 0x8000 != 0 }
}
