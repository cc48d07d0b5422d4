public import Wire

/// Cryptokey routing (WireGuard §2): which peer an address belongs to, for sending to it and for believing that a packet came
/// from it. The longest prefix decides. A prefix belongs to one peer; inserting it for another moves it.
///
/// This is the editable form; `AllowedIPsTable` is the one to look up in.
public struct AllowedIPs: Sendable {
  private var owners: [IPPrefix: PeerID] = [:]

  public init() {}

  public mutating func insert(_ prefix: IPPrefix, for peer: PeerID) { owners[prefix] = peer }

  /// Takes prefixes away from a peer, those that it still has.
  public mutating func remove(_ prefixes: [IPPrefix], of peer: PeerID) {
    for prefix in prefixes where owners[prefix] == peer { owners[prefix] = nil }
  }

  public func prefixes(of peer: PeerID) -> [IPPrefix] {
    owners.filter { $0.value == peer }.map(\.key).sorted()
  }

  public var isEmpty: Bool { owners.isEmpty }

  /// The form to look up in, as of now. Takes n log n steps for n prefixes.
  public func table() -> AllowedIPsTable {
    AllowedIPsTable(owners.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
  }
}

/// `AllowedIPs` at one moment, immutable: for each family the sorted starts of the ranges that have one owner, and the owners.
/// A lookup is a binary search without branches to mispredict.
public final class AllowedIPsTable: @unchecked Sendable {
  // The pointers within are written in `init` alone and freed in `deinit`.
  /// For hot loops. Valid as long as the table lives.
  public let view: AllowedIPsView

  /// The prefixes are sorted, a block before the blocks within it.
  init(_ prefixes: [(IPPrefix, PeerID)]) {
    let (starts4, owners4) = AllowedIPsTable.ranges(prefixes, .v4)
    let (starts6, owners6) = AllowedIPsTable.ranges(prefixes, .v6)
    view = AllowedIPsView(
      count4: starts4.count, starts4: AllowedIPsTable.copy(starts4.map { UInt32($0) }),
      owners4: AllowedIPsTable.copy(owners4),
      count6: starts6.count, starts6: AllowedIPsTable.copy(starts6), owners6: AllowedIPsTable.copy(owners6))
  }

  deinit {
    view.starts4.deallocate()
    view.owners4.deallocate()
    view.starts6.deallocate()
    view.owners6.deallocate()
  }

  /// The peer of the longest prefix that contains the address.
  public func peer(of address: IPAddress) -> PeerID? {
    withExtendedLifetime(self) {
      let owner =
        address.family == .v4
        ? view.owner(v4: UInt32(truncatingIfNeeded: address.value)) : view.owner(v6: address.value)
      return owner == AllowedIPsView.nobody ? nil : PeerID(owner)
    }
  }

  /// Cuts the address space at the ends of all blocks; each piece belongs to the innermost block around it.
  private static func ranges(
    _ prefixes: [(IPPrefix, PeerID)], _ family: IPAddress.Family
  ) -> (starts: [UInt128], owners: [UInt32]) {
    let greatest = IPPrefix.mask(family, family.bits)
    var starts: [UInt128] = [0]
    var owners: [UInt32] = [AllowedIPsView.nobody]
    var enclosing: [(last: UInt128, owner: UInt32)] = []
    func begin(_ start: UInt128, _ owner: UInt32) {
      if starts[starts.count - 1] == start {
        owners[owners.count - 1] = owner
      } else if owners[owners.count - 1] != owner {
        starts.append(start)
        owners.append(owner)
      }
    }
    func leave() {
      let block = enclosing.removeLast()
      if block.last < greatest { begin(block.last + 1, enclosing.last?.owner ?? AllowedIPsView.nobody) }
    }
    for (prefix, peer) in prefixes where prefix.family == family {
      let first = prefix.address.value
      while let innermost = enclosing.last, innermost.last < first { leave() }
      begin(first, peer.number)
      enclosing.append((first | (greatest & ~IPPrefix.mask(family, prefix.length)), peer.number))
    }
    while !enclosing.isEmpty { leave() }
    return (starts, owners)
  }

  private static func copy<T: BitwiseCopyable>(_ array: [T]) -> UnsafePointer<T> {
    let memory = UnsafeMutablePointer<T>.allocate(capacity: array.count)
    memory.initialize(from: array, count: array.count)
    return UnsafePointer(memory)
  }
}

/// Plain pointers into an `AllowedIPsTable`, which must outlive them.
public struct AllowedIPsView: @unchecked Sendable {
  // Points to memory that nobody writes while the table lives.
  /// What a lookup gives when no prefix contains the address; no peer has this number.
  public static let nobody: UInt32 = .max

  @usableFromInline let count4: Int
  @usableFromInline let starts4: UnsafePointer<UInt32>
  @usableFromInline let owners4: UnsafePointer<UInt32>
  @usableFromInline let count6: Int
  @usableFromInline let starts6: UnsafePointer<UInt128>
  @usableFromInline let owners6: UnsafePointer<UInt32>

  init(
    count4: Int, starts4: UnsafePointer<UInt32>, owners4: UnsafePointer<UInt32>,
    count6: Int, starts6: UnsafePointer<UInt128>, owners6: UnsafePointer<UInt32>
  ) {
    self.count4 = count4
    self.starts4 = starts4
    self.owners4 = owners4
    self.count6 = count6
    self.starts6 = starts6
    self.owners6 = owners6
  }

  /// The number of the address's peer, or `nobody`.
  @inlinable
  public func owner(v4 address: UInt32) -> UInt32 {
    var first = 0
    var count = count4
    while count > 1 {
      let half = count &>> 1
      first = starts4[first &+ half] <= address ? first &+ half : first
      count &-= half
    }
    return owners4[first]
  }

  /// The number of the address's peer, or `nobody`.
  @inlinable
  public func owner(v6 address: UInt128) -> UInt32 {
    var first = 0
    var count = count6
    while count > 1 {
      let half = count &>> 1
      first = starts6[first &+ half] <= address ? first &+ half : first
      count &-= half
    }
    return owners6[first]
  }
}
