import Synchronization
public import Wire

/// What this machine sent by UDP and SCTP in the last minutes, so that the answers are let in.
///
/// A fixed number of words, each a 48-bit keyed fingerprint of a flow and the time it was used: the sending side writes, the
/// receiving side reads, and neither waits. A full set of four forgets its oldest. Fingerprints are keyed with a secret, so
/// that nobody can construct a packet that passes for the answer to another flow.
public final class FlowTable: @unchecked Sendable {
  // The words are atomic; the pointer is written in `init` alone.

  /// How long after the last packet out an answer may come.
  public static let lifetime: Duration = .seconds(180)

  let view: FlowTableView

  /// - Parameter flows: how many are remembered, a power of two.
  public init(flows: Int = 1 << 14, random: any RandomSource) {
    precondition(flows >= 4 && flows & (flows - 1) == 0, "a flow table's size is a power of two")
    let words = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: flows)
    for index in 0..<flows { (words + index).initialize(to: Atomic(0)) }
    view = FlowTableView(
      words: words, sets: UInt64(flows / 4), secret: (random.uint64(), random.uint64()))
  }

  deinit {
    view.words.deinitialize(count: Int(view.sets) * 4)
    view.words.deallocate()
  }
}

/// Plain pointers into a `FlowTable`, which must outlive them.
struct FlowTableView: @unchecked Sendable {
  let words: UnsafeMutablePointer<Atomic<UInt64>>
  let sets: UInt64
  let secret: (UInt64, UInt64)

  /// The sending side: a packet of this flow goes out.
  func record(_ header: PacketHeader, _ kind: PacketKind, at seconds: UInt64) {
    let mark = fingerprint(header.source, kind.sourcePort, header.destination, kind.destinationPort, kind.number)
    let set = words + Int(truncatingIfNeeded: mark & (sets &- 1)) &* 4
    let stamp = FlowTableView.stamp(seconds)
    let word = (mark & ~0xffff) | stamp
    var victim = 0
    var greatestAge: UInt64 = 0
    for way in 0..<4 {
      let present = set[way].load(ordering: .relaxed)
      if present == word { return }
      if present == 0 || (present ^ word) & ~0xffff == 0 {
        victim = way
        break
      }
      let age = (stamp &- present) & 0xffff
      if age >= greatestAge {
        greatestAge = age
        victim = way
      }
    }
    set[victim].store(word, ordering: .relaxed)
  }

  /// The receiving side: whether the packet goes the other way of a flow in use.
  func answers(_ header: PacketHeader, _ kind: PacketKind, at seconds: UInt64) -> Bool {
    let mark = fingerprint(header.destination, kind.destinationPort, header.source, kind.sourcePort, kind.number)
    let set = words + Int(truncatingIfNeeded: mark & (sets &- 1)) &* 4
    let stamp = FlowTableView.stamp(seconds)
    for way in 0..<4 {
      let present = set[way].load(ordering: .relaxed)
      if present != 0, (present ^ mark) & ~0xffff == 0 {
        return (stamp &- present) & 0xffff <= UInt64(FlowTable.lifetime.components.seconds) / 4
      }
    }
    return false
  }

  /// Units of four seconds: sixteen bits of them last three days.
  private static func stamp(_ seconds: UInt64) -> UInt64 { (seconds &>> 2) & 0xffff }

  private func fingerprint(
    _ near: UInt128, _ nearPort: UInt16, _ far: UInt128, _ farPort: UInt16, _ number: UInt8
  ) -> UInt64 {
    let ports = UInt64(nearPort) &<< 32 | UInt64(farPort) &<< 8 | UInt64(number)
    var hash = secret.0
    hash = fold(hash ^ UInt64(truncatingIfNeeded: near), secret.1 ^ UInt64(truncatingIfNeeded: near &>> 64))
    hash = fold(hash ^ UInt64(truncatingIfNeeded: far), secret.1 ^ UInt64(truncatingIfNeeded: far &>> 64))
    return fold(hash ^ ports, secret.1 ^ 0x9e37_79b9_7f4a_7c15)
  }

  /// The two halves of the 128-bit product, added: every input bit reaches every output bit.
  @inline(__always)
  private func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let (high, low) = a.multipliedFullWidth(by: b)
    return high ^ low
  }
}
