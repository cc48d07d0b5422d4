import Cryptography
public import Identity
import Wire

/// A number and a text that stand for one machine in one network, for interfaces that want such. They never travel.
public struct NodeNumber: Hashable, Sendable {
  /// 1…2^53 − 1
  public let number: UInt64
  /// `dwn-` and 32 hexadecimal digits.
  public let stableID: String

  /// From SHA-256 over `meshd node identity v1`, the network's id and the DID, with a zero byte between them.
  public init(_ did: DID, in network: NetworkID) {
    self.init(did: did.text, network: network.text)
  }

  init(did: String, network: String) {
    let fields = ["meshd node identity v1", network, did].map { Array($0.utf8) }
    let digest = SHA2.sha256(Array(fields.joined(separator: [0])))
    let number = digest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } & UInt64(JSONValue.greatestInteger)
    self.number = max(number, 1)
    self.stableID = "dwn-" + Hex.encode(digest.prefix(16))
  }
}
