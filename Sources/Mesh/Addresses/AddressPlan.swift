import Cryptography
public import Identity
public import Wire

/// Which addresses the machines of a mesh have: IPv4 from the mesh's block, IPv6 from the DID alone.
public struct AddressPlan: Hashable, Sendable {
  /// IPv4, at most 30 bits long.
  public let block: IPPrefix

  /// The IPv6 block of every mesh.
  public static let ipv6Block = IPPrefix(IPAddress(v6: 0xfd0d_e100_d3c5_0001 << 64), length: 64)!

  /// Throws `unusableCIDR` unless it is an IPv4 block that leaves room for machines.
  public init(_ block: IPPrefix) throws(MeshError) {
    guard block.family == .v4, block.length <= 30 else { throw .unusableCIDR(block.description) }
    self.block = block
  }

  /// Reads `10.200.0.0/16`; host bits are cleared. Throws `unusableCIDR`.
  public init(cidr text: String) throws(MeshError) {
    guard text.utf8.contains(UInt8(ascii: "/")), let block = IPPrefix(text), block.family == .v4, block.length <= 30
    else { throw .unusableCIDR(text) }
    self.block = block
  }

  /// How many machines there is room for: the block without its first two addresses and its last.
  public var capacity: UInt64 { (1 << UInt64(32 - block.length)) - 3 }

  /// The address that follows from the DID: block + 2 + (first 32 bits of SHA-256 of its text, modulo the capacity). Until the
  /// node record is readable, it is a guess.
  public func ipv4(for did: DID) -> IPAddress { ipv4(for: did.text) }

  func ipv4(for text: String) -> IPAddress { ipv4(offset: offset(for: text)) }

  /// The address that the anchor gives: the one that follows from the DID, or the next after it that is not taken, at the end of the
  /// block going on at its beginning. Throws `noFreeAddress`.
  public func allocate(for did: DID, taken: Set<IPAddress>) throws(MeshError) -> IPAddress {
    var offset = offset(for: did.text)
    // Among more candidates than there are taken addresses one is free.
    for _ in 0..<min(capacity, UInt64(taken.count) + 1) {
      let address = ipv4(offset: offset)
      if !taken.contains(address) { return address }
      offset = (offset + 1) % capacity
    }
    throw .noFreeAddress(block)
  }

  /// The block `fd0d:e100:d3c5:1::/64` and the first 64 bits of SHA-256 of the DID's text.
  public static func ipv6(for did: DID) -> IPAddress {
    let host = SHA2.sha256(Array(did.text.utf8)).prefix(8).reduce(0) { $0 << 8 | UInt128($1) }
    return IPAddress(v6: ipv6Block.address.value | host)
  }

  private func offset(for text: String) -> UInt64 {
    SHA2.sha256(Array(text.utf8)).prefix(4).reduce(0) { $0 << 8 | UInt64($1) } % capacity
  }

  private func ipv4(offset: UInt64) -> IPAddress {
    IPAddress(v4: UInt32(truncatingIfNeeded: block.address.value) + UInt32(offset) + 2)
  }
}
