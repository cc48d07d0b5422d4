import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

/// A network that the Go implementation made and that a machine of ours joined, message by message.
@Suite("A network of another implementation")
struct JoinedNetworkTests {
  static let path = "mesh/v1-joined-network.json"
  static let isAtHand = Fixtures.have(path)

  let json: JSONValue
  let network: NetworkReference
  let joiner: MachineIdentity
  let entries: [ReplyEntry]

  init() throws {
    json = try Fixtures.json(Self.path)
    network = NetworkReference(
      id: try #require(json["networkId"]?.string.flatMap { NetworkID($0) }),
      anchor: try #require(json["anchorDid"]?.string.flatMap { DID($0) }), envelope: .v1)
    let seed = try #require(json["joinerSeedHex"]?.string.flatMap { Hex.decode($0) })
    joiner = try #require(MachineIdentity(seed: SecretBytes(seed)))
    entries = try #require(json["messages"]?.array).map { entry in
      ReplyEntry(
        message: try #require(entry["message"]), data: entry["data_b64u"]?.string.flatMap { Base64.decode($0) })
    }
  }

  private func reader(
    of identity: MachineIdentity? = nil, _ entries: [ReplyEntry]? = nil
  ) -> (MeshReader, OfferOutcome) {
    var reader = MeshReader(network: network, identity: identity ?? joiner)
    let outcome = reader.offer(
      entries ?? self.entries, extent: .complete, at: Instant(nanoseconds: 1), wall: WallTime(seconds: 1_795_280_000))
    return (reader, outcome)
  }

  @Test(
    "is read whole: the keys that it delivered, both machines, where they are, and its policy",
    .enabled(if: isAtHand, Comment(rawValue: Fixtures.skipped)))
  func read() throws {
    let (reader, outcome) = reader()
    #expect(outcome.refusals.isEmpty)
    let wall = WallTime(seconds: 1_795_280_000)
    #expect(reader.membership(at: wall) == .member)
    let view = try #require(reader.view(at: wall))
    #expect(view.record?.name == json["expected"]?["networkName"]?.string)
    #expect(view.record?.meshCIDR.description == json["expected"]?["meshCIDR"]?.string)
    #expect(view.own?.meshIP.description == json["expected"]?["joinerMeshIP"]?.string)
    let anchor = try #require(view.nodes.first { $0.did == network.anchor })
    #expect(anchor.meshIP.description == json["expected"]?["anchorMeshIP"]?.string)
    #expect(anchor.endpoint?.discoKey != nil)
    #expect(anchor.endpoint?.localEndpoints.isEmpty == false)
    guard case .accepted(let policy) = view.policy else {
      Issue.record("the policy is \(view.policy)")
      return
    }
    #expect(policy.meaning == .acceptsAll)
    #expect(view.unused.isEmpty)
    #expect(reader.cipher != nil)
  }

  @Test(
    "without its delivery a machine waits for its key, and another identity reads nothing",
    .enabled(if: isAtHand, Comment(rawValue: Fixtures.skipped)))
  func keyless() throws {
    let wall = WallTime(seconds: 1_795_280_000)
    let without = entries.filter { $0.message["descriptor"]?["protocolPath"] != "$encryption/delivery" }
    #expect(reader(of: nil, without).0.membership(at: wall) == .waitingForKey)
    let stranger = MachineIdentity.generate(random: SeededRandom(1))
    let (blind, _) = reader(of: stranger)
    #expect(blind.membership(at: wall) == .notAMember)
    #expect(blind.view(at: wall)?.nodes.isEmpty == true)
  }

  @Test(
    "every message that is altered in one byte is refused", .enabled(if: isAtHand, Comment(rawValue: Fixtures.skipped)))
  func altered() throws {
    for (index, entry) in entries.enumerated() {
      guard var data = entry.data, !data.isEmpty else { continue }
      data[data.count / 2] ^= 4
      var changed = entries
      changed[index].data = data
      #expect(reader(of: nil, changed).1.refusals.contains { $0.reason == .dataMismatch }, "message \(index)")
    }
  }
}
