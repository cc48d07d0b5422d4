import DWN
import Identity
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Random records, roles and grants; what each person is shown of them, by the node and by a model that holds every record against
/// every right (dwn-server 5.2, 8).
@Suite(.timeLimit(.minutes(10)))
struct VisibilityModelTests {
  let tenancy: TestTenancy
  let people: [Person]

  init() async throws {
    tenancy = try TestTenancy()
    people = [tenancy.alice, tenancy.bob, tenancy.carol]
    let create = #"{"who": "anyone", "can": ["create"]}"#
    let reply = try await tenancy.install(
      """
      {"group": {"$actions": [\(create)], "member": {"$role": true},
         "note": {"$actions": [\(create), {"role": "group/member", "can": ["read"]}]},
         "memo": {"$actions": [\(create)]}}}
      """)
    #expect(reply.status.code == 202, "\(reply.status)")
  }

  /// What a request claims beyond its signature.
  private enum Claim {
    case nothing
    case role
    case grant(HeldGrant, PermissionScope, isLive: Bool)
    case delegated(by: Person, HeldGrant, PermissionScope, isLive: Bool)
  }

  private struct World {
    var records: [RecordsWrite] = []
    var groups: [RecordsWrite] = []
    var members: [(group: RecordsWrite, holder: DID, write: RecordsWrite, isLive: Bool)] = []
    var grants: [(held: HeldGrant, scope: PermissionScope, holder: Person, isLive: Bool)] = []
    var carried: [(held: HeldGrant, scope: PermissionScope, holder: Person, grantor: Person, isLive: Bool)] = []
  }

  @Test("everybody is shown what they may see, and is counted the same", arguments: 0..<3)
  func model(round: Int) async throws {
    let seed = UInt64.random(in: .min ... .max)
    let random = SeededRandom(seed)
    let world = try await build(random)
    var shown = 0
    for number in 0..<150 {
      let reader = people.pick(random)
      let filter = filter(random, world)
      let claim = claim(random, world, reader)
      let label: Comment =
        "seed \(seed) query \(number): \(filter.json.text) by \(reader.did.text.suffix(6)) with \(claim)"
      let expected = model(world, filter, reader, claim)
      let query = try message(.recordsQuery(RecordsQuery(filter, permissionGrantID: grantID(claim))), reader, claim)
      let count = try message(.recordsCount(RecordsCount(filter, permissionGrantID: grantID(claim))), reader, claim)
      let reply = try await tenancy.reply(query)
      let counted = try await tenancy.reply(count)
      guard let expected else {
        #expect(reply.status.code == 401 && counted.status.code == 401, label)
        continue
      }
      #expect(reply.status.code == 200, label)
      #expect(Set(reply.entries.map { CID(of: $0.message).text }) == Set(expected.map(\.cid.text)), label)
      #expect(counted.members["count"]?.integer == Int64(expected.count), label)
      shown += expected.count
    }
    #expect(shown > 0, "seed \(seed)")
  }

  private func build(_ random: SeededRandom) async throws -> World {
    var world = World()
    for _ in 0..<3 { world.groups.append(try await tenancy.write(people.pick(random), "group")) }
    world.records = world.groups
    for group in world.groups {
      for holder in people.dropFirst() where random.flip() {
        let write = try await tenancy.write(tenancy.alice, "group/member", below: group, to: holder)
        let isLive = random.uniform(below: 3) != 0
        if isLive {
          world.records.append(write)
        } else {
          let end = tenancy.alice.signer.recordsDelete(write.recordID, prune: false, at: tenancy.tick())
          #expect(try await tenancy.status(end) == "202")
        }
        world.members.append((group, holder.did, write, isLive))
      }
    }
    for _ in 0..<30 {
      let path: ProtocolPath = random.flip() ? "group/note" : "group/memo"
      world.records.append(
        try await tenancy.write(
          people.pick(random), path, below: world.groups.pick(random), to: random.flip() ? nil : people.pick(random),
          published: random.uniform(below: 4) == 0 ? true : nil))
    }
    for _ in 0..<8 {
      let scope = scope(random, world)
      let holder = people.dropFirst().map { $0 }.pick(random)
      let held = try await tenancy.grant(scope, to: holder)
      let isLive = random.uniform(below: 3) != 0
      if !isLive { #expect(try await tenancy.store(tenancy.revocation(of: held)) == "202") }
      world.grants.append((held, scope, holder, isLive))
    }
    for _ in 0..<8 {
      let scope = scope(random, world)
      let isLive = random.uniform(below: 3) != 0
      let (grantor, holder) = (people.pick(random), people.pick(random))
      let held = tenancy.makeGrant(
        scope, to: holder, from: grantor, delegated: true, expires: isLive ? TestTenancy.farAway : tenancy.tick())
      world.carried.append((held, scope, holder, grantor, isLive))
    }
    return world
  }

  private func scope(_ random: SeededRandom, _ world: World) -> PermissionScope {
    switch random.uniform(below: 3) {
    case 0: .records("Read")
    case 1: .records("Read", at: random.flip() ? "group/note" : "group/memo")
    default: .records("Read", in: world.groups.pick(random).contextID)
    }
  }

  private func filter(_ random: SeededRandom, _ world: World) -> RecordsFilter {
    var filter = RecordsFilter(protocolURI: TestTenancy.protocolURI)
    if random.flip() { filter.contextID = world.groups.pick(random).contextID }
    if random.flip() {
      filter.path = (["group", "group/note", "group/memo"] as [ProtocolPath]).pick(random)
      if filter.path != "group", filter.contextID == nil { filter.contextID = world.groups.pick(random).contextID }
    }
    if random.uniform(below: 4) == 0 { filter.published = random.flip() }
    if random.uniform(below: 4) == 0 { filter.author = [people.pick(random).did] }
    if random.uniform(below: 4) == 0 { filter.recipient = [people.pick(random).did] }
    return filter
  }

  private func claim(_ random: SeededRandom, _ world: World, _ reader: Person) -> Claim {
    switch random.uniform(below: 4) {
    case 0: return .nothing
    case 1: return .role
    case 2:
      let grant = world.grants.pick(random)
      return .grant(grant.held, grant.scope, isLive: grant.isLive && grant.holder.did == reader.did)
    default:
      let own = world.carried.filter { $0.grantor.did == reader.did }
      guard !own.isEmpty else { return .nothing }
      let grant = own.pick(random)
      return .delegated(by: grant.holder, grant.held, grant.scope, isLive: grant.isLive)
    }
  }

  private func grantID(_ claim: Claim) -> RecordID? {
    if case .grant(let held, _, _) = claim { held.id } else { nil }
  }

  private func message(_ body: MessageBody, _ reader: Person, _ claim: Claim) throws -> JSONValue {
    // Without a path, a role is refused for its form.
    let role: ProtocolPath? =
      if case .role = claim, body.recordsFilter?.path != nil { "group/member" } else { nil }
    let signed = reader.signer.message(body, at: tenancy.tick(), role: role)
    guard case .delegated(let holder, let held, _, _) = claim else { return signed.message.value }
    return try tenancy.delegating(signed, to: holder, by: held)
  }

  // MARK: The model

  /// `nil` for who is refused.
  private func model(_ world: World, _ filter: RecordsFilter, _ reader: Person, _ claim: Claim) -> [RecordsWrite]? {
    var seesAll = reader.did == tenancy.alice.did
    switch claim {
    case .nothing: break
    case .role where filter.path == nil: break
    case .role:
      let holds = world.members.contains {
        $0.isLive && $0.holder == reader.did && $0.group.contextID == filter.contextID?.prefix(1)
      }
      guard holds, filter.path == "group/note" else { return nil }
      seesAll = true
    case .grant(_, let scope, let isLive):
      guard isLive, covers(scope, filter) else { return nil }
      seesAll = true
    case .delegated(_, _, let scope, let isLive):
      guard isLive, covers(scope, filter) else { return nil }
    }
    return world.records.filter { record in
      let isMine = record.author == reader.did || record.recipient == reader.did
      return matches(record, filter) && (seesAll || record.published || filter.published != true && isMine)
    }
  }

  private func covers(_ scope: PermissionScope, _ filter: RecordsFilter) -> Bool {
    if let path = scope.path { return filter.path == path }
    if let context = scope.contextID { return filter.contextID.map { context.contains($0) } ?? false }
    return true
  }

  private func matches(_ record: RecordsWrite, _ filter: RecordsFilter) -> Bool {
    (filter.path == nil || filter.path == record.path)
      && (filter.contextID?.contains(record.contextID) ?? true)
      && (filter.published == nil || filter.published == record.published)
      && (filter.author.isEmpty || filter.author.contains(record.author))
      && (filter.recipient.isEmpty || record.recipient.map { filter.recipient.contains($0) } ?? false)
  }
}

extension SeededRandom {
  fileprivate func flip() -> Bool { uniform(below: 2) == 0 }
}

extension Array {
  fileprivate func pick(_ random: SeededRandom) -> Element { self[Int(random.uniform(below: UInt64(count)))] }
}
