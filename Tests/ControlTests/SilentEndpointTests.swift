import DWN
import Identity
import Mesh
import Netmap
import Testing
import Wire

@testable import Control

/// An anchor with two nodes, one of which answers nothing any more (docs/decisions/silent-endpoints.md).
@Suite("A node that is silent for long", .timeLimit(.minutes(10)))
struct SilentEndpointTests: TwoNodeSuite {
  let mesh: TwoNodeMesh
  private let plane: DWNControlPlane
  private var live: FakeNode { mesh.first }
  private var silent: FakeNode { mesh.second }

  private static let no = Reply(.init(413, "TooLarge: the quota is used up"))

  init() async throws {
    let mesh = try await TwoNodeMesh(nodes: ("live", "silent"), seed: 17)
    self.mesh = mesh
    plane = try #require(mesh.anchor.plane)
  }

  private func add(_ label: String) async throws -> (machine: Device, change: LedgerChange) {
    let machine = try await newMachine()
    live.refuse { [did = machine.did.text] in $0.descriptor["recipient"]?.string == did ? Self.no : nil }
    return (machine, try await anchor.add(machine.did, to: network, label: label))
  }

  private var machines: [DID] {
    get async { await anchor.keeper.ledger.nodes(of: network.id).map(\.did) }
  }

  /// What a command that decided this ends with.
  private func published(_ change: LedgerChange) async -> Result<Bool, PublicationRefused> {
    do throws(PublicationRefused) {
      return .success(try await plane.waitUntilPublished(change, within: .zero))
    } catch {
      return .failure(error)
    }
  }

  private func refusal(of change: LedgerChange) async throws -> PublicationRefused {
    let result = await published(change)
    guard case .failure(let refusal) = result else {
      throw Unexpected(result: "\(result)")
    }
    return refusal
  }

  private struct Unexpected: Error { let result: String }

  @Test(
    "what the other refuses for good waits for it, and its command says so; after an hour it is taken back, and heads go out again"
  )
  func takenBack() async throws {
    silent.isReachable = false
    try await run(.seconds(3000), [anchor])
    let (third, change) = try await add("third")
    try await run(.seconds(15), [anchor])
    let refusal = try await refusal(of: change)
    #expect(refusal.outcome == .waits(silent: ["silent"], isTakenBack: true))
    #expect(
      refusal.description
        == "live refuses network/node for good: 413 TooLarge: the quota is used up. No head goes there until it takes that, and "
        + "without one the others accept nothing that was decided since. Have whoever runs that node see to it: the daemon offers it "
        + "again every five minutes; or bring back silent, which does not answer: after an hour without a word from there, what "
        + "was refused is taken back")
    #expect(await machines.contains(third.did))

    try await run(.seconds(720), [anchor])
    #expect(await !machines.contains(third.did))
    #expect(try await self.refusal(of: change).outcome == .withdrawn)
    // From now on who decides is told at once.
    let (fourth, another) = try await add("fourth")
    try await run(.seconds(5), [anchor])
    #expect(try await self.refusal(of: another).outcome == .withdrawn)
    #expect(await !machines.contains(fourth.did))

    let fifth = try await newMachine()
    let taken = try await anchor.add(fifth.did, to: network, label: "fifth")
    try await run(.seconds(30), [anchor, member])
    #expect(await published(taken) == .success(true))
    #expect(await member.netmap?.peers.map(\.key).contains(fifth.key) == true)
    // When it comes back it is told what holds.
    silent.isReachable = true
    try await run(.seconds(330), [anchor, member])
    for path in [MeshProtocol.head, MeshProtocol.node] {
      #expect(
        Set(live.live(path).map { $0.latest.message.cid }) == Set(silent.live(path).map { $0.latest.message.cid }))
    }
    #expect(await anchor.status.endpoints.allSatisfy { $0.lacking == 0 && $0.trouble == nil })
  }

  @Test(
    "what it has taken stands, however long it has been silent: it may be in force for those who read there")
  func stands() async throws {
    let (third, change) = try await add("third")
    try await run(.seconds(15), [anchor, member])
    #expect(await published(change) == .success(true))
    silent.isReachable = false
    try await run(.seconds(4000), [anchor])
    #expect(await plane.silences[1].isLong)
    #expect(await machines.contains(third.did))
    let refusal = try await refusal(of: LedgerChange())
    #expect(refusal.outcome == .waits(silent: ["silent"], isTakenBack: false))
    #expect(refusal.description.hasSuffix("; or bring back silent, which does not answer"))
  }

  @Test("what it took without a word, and was taken back since, is outdone when it comes back")
  func lostAnswer() async throws {
    let path = MeshProtocol.aclPolicy
    silent.tell { request, reply, _ in
      request.descriptor["protocolPath"]?.string == path.text && request.kind == .recordsWrite
        ? Reply(.init(503, "it breaks down")) : reply
    }
    live.refuse { $0.descriptor["protocolPath"]?.string == path.text && $0.kind == .recordsWrite ? Self.no : nil }
    try await anchor.setPolicy(
      ACLPolicy(["version": 1, "rules": [["action": "accept", "src": ["*"], "dst": ["*"], "proto": "tcp"]]]),
      of: network)
    try await run(.seconds(3), [anchor])
    #expect(silent.live(path).map { $0.latest.message.cid } != live.live(path).map { $0.latest.message.cid })
    silent.isReachable = false
    silent.tell(nil)
    try await run(.seconds(4000), [anchor])
    live.refuse(nil)
    silent.isReachable = true
    try await run(.seconds(400), [anchor, member])
    #expect(live.live(path).map { $0.latest.message.cid } == silent.live(path).map { $0.latest.message.cid })
    let reader = try await Device(member.identity, clock: clock, random: random)
    try await reader.start(network, [silent], addresses: [World.address(1)])
    try await run(.seconds(15), [anchor, reader])
    #expect(await reader.status.head?.sequence == anchor.keeper.ledger.head(of: network.id)?.seq)
    #expect(await reader.plane?.policyReport().policy == ACLPolicy.acceptAll.json)
    #expect(await anchor.status.endpoints.allSatisfy { $0.lacking == 0 && $0.trouble == nil })
  }

  @Test("an anchor that reaches no node at all takes nothing back")
  func offline() async throws {
    let (third, change) = try await add("third")
    silent.isReachable = false
    try await run(.seconds(15), [anchor])
    live.isReachable = false
    try await run(.seconds(4000), [anchor])
    #expect(await plane.silences.allSatisfy(\.isLong))
    #expect(await machines.contains(third.did))
    #expect(await published(change) == .success(false))
  }

  @Test("of the time between two questions ten minutes count, and any answer ends the silence")
  func asleep() {
    var silence = EndpointSilence()
    var now = Instant(nanoseconds: 1)
    #expect(!silence.answers && !silence.isLong)
    silence.answered()
    #expect(silence.answers)
    for _ in 0..<6 {
      silence.unanswered(at: now)
      now = now + .seconds(8 * 3600)
    }
    #expect(!silence.answers && !silence.isLong && silence.duration == .seconds(3000))
    silence.unanswered(at: now)
    #expect(silence.isLong)
    silence.answered()
    #expect(silence.answers && !silence.isLong && silence.duration == .zero)
  }
}
