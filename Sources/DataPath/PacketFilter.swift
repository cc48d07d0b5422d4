public import Wire

/// Which packets may enter from the mesh, compiled for the packet path: an ordered list in which the first match decides, and
/// a default.
///
/// Whatever the rules say, answers come in: TCP segments that do not open a connection, ICMP errors and echo replies, UDP and
/// SCTP packets that answer what this machine sent (`FlowTable`), and later fragments, whose first part was judged.
public final class PacketFilter: @unchecked Sendable {
  // The pointers in `view` are written in `init` alone and freed in `deinit`.

  /// One rule. An empty list matches nothing.
  public struct Rule: Sendable {
    public var accepts: Bool
    public var sources: [IPPrefix]
    public var sourcePorts: [ClosedRange<UInt16>]
    public var destinations: [IPPrefix]
    public var destinationPorts: [ClosedRange<UInt16>]
    /// IP protocol numbers; `nil`: every protocol.
    public var protocols: [UInt8]?

    public init(
      accepts: Bool, sources: [IPPrefix], sourcePorts: [ClosedRange<UInt16>], destinations: [IPPrefix],
      destinationPorts: [ClosedRange<UInt16>], protocols: [UInt8]?
    ) {
      self.accepts = accepts
      self.sources = sources
      self.sourcePorts = sourcePorts
      self.destinations = destinations
      self.destinationPorts = destinationPorts
      self.protocols = protocols
    }
  }

  let view: PacketFilterView

  public init(rules: [Rule], acceptsByDefault: Bool) {
    view = PacketFilterView(
      rules: UnsafeBufferPointer(
        copying: rules.map { rule in
          PacketFilterView.Rule(
            accepts: rule.accepts, protocols: PacketFilterView.ProtocolSet(rule.protocols),
            sources: UnsafeBufferPointer(copying: rule.sources.map(PacketFilterView.Block.init)),
            destinations: UnsafeBufferPointer(copying: rule.destinations.map(PacketFilterView.Block.init)),
            sourcePorts: UnsafeBufferPointer(copying: rule.sourcePorts.map(PacketFilterView.Ports.init)),
            destinationPorts: UnsafeBufferPointer(copying: rule.destinationPorts.map(PacketFilterView.Ports.init)))
        }), acceptsByDefault: acceptsByDefault)
  }

  deinit {
    for rule in view.rules {
      rule.sources.deallocate()
      rule.destinations.deallocate()
      rule.sourcePorts.deallocate()
      rule.destinationPorts.deallocate()
    }
    view.rules.deallocate()
  }

  public static let acceptAll = PacketFilter(rules: [], acceptsByDefault: true)
  public static let denyAll = PacketFilter(rules: [], acceptsByDefault: false)
}

/// Plain pointers into a `PacketFilter`, which must outlive them.
struct PacketFilterView: @unchecked Sendable {
  // Points to memory that nobody writes while the filter lives.

  struct Block {
    let value: UInt128
    let mask: UInt128
    let isIPv4: Bool

    init(_ prefix: IPPrefix) {
      value = prefix.address.value
      mask = IPPrefix.mask(prefix.family, prefix.length)
      isIPv4 = prefix.family == .v4
    }
  }

  struct Ports {
    let first: UInt16
    let last: UInt16

    init(_ range: ClosedRange<UInt16>) {
      first = range.lowerBound
      last = range.upperBound
    }

    var isAll: Bool { first == 0 && last == .max }
  }

  /// One bit for each of the 256 protocol numbers.
  struct ProtocolSet {
    private var words: InlineArray<4, UInt64>

    init(_ numbers: [UInt8]?) {
      words = InlineArray(repeating: numbers == nil ? .max : 0)
      for number in numbers ?? [] { words[Int(number >> 6)] |= 1 << UInt64(number & 63) }
    }

    @inline(__always)
    func contains(_ number: UInt8) -> Bool {
      words[Int(number >> 6)] & (1 &<< UInt64(number & 63)) != 0
    }
  }

  struct Rule {
    let accepts: Bool
    let protocols: ProtocolSet
    let sources: UnsafeBufferPointer<Block>
    let destinations: UnsafeBufferPointer<Block>
    let sourcePorts: UnsafeBufferPointer<Ports>
    let destinationPorts: UnsafeBufferPointer<Ports>
  }

  let rules: UnsafeBufferPointer<Rule>
  let acceptsByDefault: Bool

  /// Whether nothing has to be looked at.
  var acceptsEverything: Bool { rules.isEmpty && acceptsByDefault }

  /// Whether a packet from the mesh may enter.
  func admits(_ bytes: UnsafeRawPointer, _ header: PacketHeader, flows: FlowTableView, at seconds: UInt64) -> Bool {
    if acceptsEverything { return true }
    let kind = PacketKind(bytes, header)
    if kind.number == PacketKind.unknown { return false }
    if kind.number == PacketKind.laterFragment || kind.isAnswer { return true }
    if kind.number == PacketKind.udp || kind.number == PacketKind.sctp, flows.answers(header, kind, at: seconds) {
      return true
    }
    for rule in rules where matches(rule, header, kind) { return rule.accepts }
    return acceptsByDefault
  }

  private func matches(_ rule: Rule, _ header: PacketHeader, _ kind: PacketKind) -> Bool {
    guard rule.protocols.contains(kind.number), contains(rule.sources, header.source, header.isIPv4),
      contains(rule.destinations, header.destination, header.isIPv4)
    else { return false }
    switch kind.number {
    case PacketKind.tcp, PacketKind.udp, PacketKind.sctp:
      return contains(rule.sourcePorts, kind.sourcePort) && contains(rule.destinationPorts, kind.destinationPort)
    case PacketKind.icmp4, PacketKind.icmp6:
      // A machine that may be talked to on any port may be pinged.
      return !rule.sourcePorts.isEmpty && !rule.destinationPorts.isEmpty
    default:
      return rule.sourcePorts.contains { $0.isAll } && rule.destinationPorts.contains { $0.isAll }
    }
  }

  private func contains(_ blocks: UnsafeBufferPointer<Block>, _ address: UInt128, _ isIPv4: Bool) -> Bool {
    for block in blocks where block.isIPv4 == isIPv4 && address & block.mask == block.value { return true }
    return false
  }

  private func contains(_ ranges: UnsafeBufferPointer<Ports>, _ port: UInt16) -> Bool {
    for range in ranges where range.first <= port && port <= range.last { return true }
    return false
  }
}

extension UnsafeBufferPointer {
  /// Memory of its own with these elements, which somebody deallocates.
  init(copying elements: [Element]) {
    let memory = UnsafeMutableBufferPointer<Element>.allocate(capacity: elements.count)
    _ = memory.initialize(fromContentsOf: elements)
    self.init(memory)
  }
}
