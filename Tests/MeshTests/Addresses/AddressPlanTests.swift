import Identity
@testable import Mesh
import TestSupport
import Testing
import Wire

@Suite("Addresses")
struct AddressPlanTests {
  static let vectors = "mesh/mesh-ip.json"
  static let skipped = Comment(rawValue: Fixtures.skipped)

  @Test("IPv4 addresses are those of upstream", .enabled(if: Fixtures.have(vectors), skipped))
  func allocations() throws {
    let cases = try #require(try Fixtures.json(Self.vectors)["allocations"]?.array)
    #expect(!cases.isEmpty)
    for vector in cases {
      let plan = try AddressPlan(cidr: #require(vector["cidr"]?.string))
      let text = try #require(vector["did"]?.string)
      #expect(plan.ipv4(for: text).description == vector["meshIP"]?.string)
      guard let did = DID(text) else { continue }
      #expect(try plan.allocate(for: did, taken: []) == plan.ipv4(for: text))
    }
  }

  @Test("the second of two DIDs with one address gets the next", .enabled(if: Fixtures.have(vectors), skipped))
  func collisions() throws {
    let cases = try #require(try Fixtures.json(Self.vectors)["collisions"]?.array)
    #expect(!cases.isEmpty)
    for vector in cases {
      let plan = try AddressPlan(cidr: #require(vector["cidr"]?.string))
      let first = plan.ipv4(for: try #require(vector["a"]?.string.flatMap { DID($0) }))
      let second = try #require(vector["b"]?.string.flatMap { DID($0) })
      #expect(first.description == vector["meshIP"]?.string)
      #expect(plan.ipv4(for: second) == first)
      let next = try plan.allocate(for: second, taken: [first])
      #expect(next != first)
      #expect(plan.block.contains(next))
    }
  }

  @Test("blocks that upstream refuses are refused", .enabled(if: Fixtures.have(vectors), skipped))
  func rejected() throws {
    let cases = try #require(try Fixtures.json(Self.vectors)["rejectedCidrs"]?.array)
    #expect(!cases.isEmpty)
    for vector in cases {
      let text = try #require(vector["cidr"]?.string)
      #expect(throws: MeshError.unusableCIDR(text)) { try AddressPlan(cidr: text) }
    }
    #expect(throws: MeshError.self) { try AddressPlan(AddressPlan.ipv6Block) }
  }

  @Test("IPv6 addresses follow from the DID alone", .enabled(if: RecordedNetwork.isAtHand, skipped))
  func ipv6() throws {
    let identities = try #require(try RecordedNetwork().json["identities"]?.array)
    #expect(!identities.isEmpty)
    for identity in identities {
      let did = try #require(identity["did"]?.string.flatMap { DID($0) })
      let address = AddressPlan.ipv6(for: did)
      #expect(address.description == identity["meshIPv6"]?.string)
      #expect(AddressPlan.ipv6Block.contains(address))
      #expect(try AddressPlan(cidr: "10.200.0.0/16").ipv4(for: did).description == identity["meshIPv4"]?.string)
    }
  }

  @Test("probing gives what a search through the whole block gives", arguments: 1...40 as ClosedRange<UInt64>)
  func probing(seed: UInt64) throws {
    let random = SeededRandom(seed)
    let length = Int(random.uniform(below: 7)) + 24
    let plan = try AddressPlan(cidr: "192.0.2.0/\(length)")
    var taken: Set<IPAddress> = []
    for number in 0..<plan.capacity + 1 {
      let did = try #require(DID("did:example:\(seed)-\(number)-\(random.uint32())"))
      let expected = Self.firstFree(from: plan.ipv4(for: did), in: plan, taken: taken)
      if let expected {
        #expect(try plan.allocate(for: did, taken: taken) == expected, "seed \(seed)")
        taken.insert(expected)
      } else {
        #expect(throws: MeshError.noFreeAddress(plan.block), "seed \(seed)") {
          try plan.allocate(for: did, taken: taken)
        }
      }
    }
    #expect(taken.count == Int(plan.capacity), "seed \(seed)")
  }

  @Test("addresses outside the block do not use up its room")
  func strangers() throws {
    let plan = try AddressPlan(cidr: "10.0.0.0/30")
    let did = try #require(DID("did:example:one"))
    let others = Set((1...10).map { IPAddress(v4: UInt32($0)) })
    #expect(try plan.allocate(for: did, taken: others).description == "10.0.0.2")
    #expect(throws: MeshError.noFreeAddress(plan.block)) {
      try plan.allocate(for: did, taken: others.union([IPAddress(v4: 10 << 24 | 2)]))
    }
  }

  /// All usable addresses in order, searched from the wanted one to the end and then from the beginning.
  private static func firstFree(from wanted: IPAddress, in plan: AddressPlan, taken: Set<IPAddress>) -> IPAddress? {
    let size = UInt32(1) << UInt32(32 - plan.block.length)
    let base = UInt32(plan.block.address.value)
    let usable = (2..<size - 1).map { IPAddress(v4: base + $0) }
    return (usable.filter { $0 >= wanted } + usable.filter { $0 < wanted }).first { !taken.contains($0) }
  }
}
