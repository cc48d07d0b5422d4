import DWN
import DWNClient
import Identity
import Mesh
import Netmap
import Synchronization
import Testing
import Wire

@testable import Control

@Suite("A mesh over several nodes", .timeLimit(.minutes(10)))
struct SeveralEndpointsTests: TwoNodeSuite {
  let mesh: TwoNodeMesh
  private var first: FakeNode { mesh.first }
  private var second: FakeNode { mesh.second }

  init() async throws { mesh = try await TwoNodeMesh(nodes: ("first", "second"), seed: 11) }

  private func addMachine(_ label: String) async throws -> Device {
    let machine = try await newMachine()
    try await anchor.add(machine.did, to: network, label: label)
    return machine
  }

  @Test("anchor and member publish the same messages to every node")
  func everywhere() {
    for path in [
      MeshProtocol.network, MeshProtocol.head, MeshProtocol.node, MeshProtocol.nodeInfo, MeshProtocol.endpoint,
    ] {
      let one = Set(first.live(path).map { $0.latest.message.cid })
      #expect(!one.isEmpty)
      #expect(one == Set(second.live(path).map { $0.latest.message.cid }))
    }
  }

  @Test("what a node was not there for is queued for it, and goes out in order when it is back")
  func queued() async throws {
    first.isReachable = false
    let third = try await addMachine("third")
    await member.plane?.setReach(Reach(hostAddresses: [SocketAddress("192.168.7.7:41641")!]))
    try await run(.seconds(30))
    #expect(await member.netmap?.peers.map(\.key).contains(third.key) == true)
    // What one of them has is published: that the other lacks it is no unfinished work.
    let status = await anchor.status
    #expect(status.pending == [])
    let (lagging, current) = (status.endpoints[0], status.endpoints[1])
    #expect(lagging.name == "first" && lagging.lacking > 0)
    let since = try #require(lagging.trouble?.since)
    #expect(clock.wallTime() - since <= .seconds(31) && clock.wallTime() - since >= .seconds(20))
    #expect(current.lacking == 0 && current.trouble == nil)
    first.isReachable = true
    try await run(.seconds(120))
    for path in [MeshProtocol.head, MeshProtocol.node, MeshProtocol.endpoint] {
      #expect(
        Set(first.live(path).map { $0.latest.message.cid }) == Set(second.live(path).map { $0.latest.message.cid }))
    }
    #expect(await anchor.status.pending == [])
    #expect(await anchor.status.endpoints.allSatisfy { $0.lacking == 0 && $0.trouble == nil })
  }

  @Test(
    "where no node has everything the rest is unfinished, and terms of service that changed are named with what accepts them"
  )
  func terms() async throws {
    for node in [first, second] {
      node.refuse { _ in Reply(.init(401, "Agreed terms-of-service is outdated.")) }
    }
    _ = try await addMachine("third")
    try await run(.seconds(30))
    let told = await anchor.status.pending
    #expect(told.count == 2)
    #expect(told.allSatisfy { $0.contains("/registration/terms-of-service") && $0.contains("up --accept-terms") })
    #expect(await member.status.endpoints.contains { $0.trouble?.reason.contains("the anchor has not agreed") == true })
  }

  @Test(
    "a node that shows an older head than the one in force is left for one that does not, and taken again once it is current"
  )
  func behind() async throws {
    first.refuse { message in
      message.kind == .recordsQuery || message.kind == .recordsRead || message.kind == .protocolsQuery
        ? nil : Reply(.init(503, "the disk is full"))
    }
    let third = try await addMachine("third")
    // The second node is asked for everything every five minutes.
    try await run(.seconds(330))
    #expect(await member.netmap?.peers.map(\.key).contains(third.key) == true)
    #expect(await member.plane?.choice.preferred == 1)
    let fourth = try await addMachine("fourth")
    try await run(.seconds(12))
    #expect(await member.netmap?.peers.map(\.key).contains(fourth.key) == true)
    first.refuse(nil)
    try await run(.seconds(400))
    #expect(await member.plane?.choice.preferred == 0)
  }

  @Test(
    "what reaches only the other node is seen there within a minute, though the first answers and tells no change")
  func withoutNews() async throws {
    let anchorDID = anchor.did
    first.refuse { $0.isSigned(by: anchorDID) ? Reply(.init(503, "later")) : nil }
    let third = try await addMachine("third")
    try await run(.seconds(75))
    #expect(await member.netmap?.peers.map(\.key).contains(third.key) == true)
    try await anchor.remove(third.did, from: network)
    try await run(.seconds(75))
    #expect(await member.netmap?.peers.map(\.key).contains(third.key) == false)
  }

  @Test(
    "a node that lost everything, and answers, is left for one that has it: what was added and removed is seen there")
  func emptied() async throws {
    let anchorDID = anchor.did
    first.forgetEverything()
    first.refuse { $0.isSigned(by: anchorDID) ? Reply(.init(503, "later")) : nil }
    try await run(.seconds(90))
    let third = try await addMachine("third")
    try await run(.seconds(15))
    #expect(await member.netmap?.peers.map(\.key).contains(third.key) == true)
    try await anchor.remove(third.did, from: network)
    try await run(.seconds(15))
    #expect(await member.netmap?.peers.map(\.key).contains(third.key) == false)
  }

  @Test("a machine's own record that was once refused for good is counted as lacking, and offered again")
  func refusedOnce() async throws {
    for node in [first, second] {
      node.refuse { $0.descriptor["protocolPath"] == "network/node/endpoint" ? Reply(.init(400, "No: no")) : nil }
    }
    let moved = SocketAddress("192.168.7.7:41641")!
    await member.plane?.setReach(Reach(hostAddresses: [moved]))
    try await run(.seconds(30))
    #expect(await member.status.endpoints.allSatisfy { $0.lacking == 1 })
    #expect(await anchor.netmap?.peers.first?.endpoints.contains(moved) == false)
    for node in [first, second] { node.refuse(nil) }
    try await run(.seconds(330))
    #expect(await member.status.endpoints.allSatisfy { $0.lacking == 0 })
    #expect(await anchor.netmap?.peers.first?.endpoints.contains(moved) == true)
  }

  @Test("what one node refuses for good stands as long as another has it, and is taken back when all refuse it")
  func veto() async throws {
    let no = Reply(.init(400, "SchemaValidatorFailure: no"))
    let third = try await newMachine()
    let refused = third.did.text
    first.refuse { $0.descriptor["recipient"]?.string == refused ? no : nil }
    let change = try await anchor.add(third.did, to: network, label: "third")
    // The second node is asked for everything every five minutes.
    try await run(.seconds(330))
    let plane = try #require(anchor.plane)
    #expect(await anchor.netmap?.peers.map(\.key).contains(third.key) == true)
    #expect(await member.netmap?.peers.map(\.key).contains(third.key) == true)
    #expect(try await plane.waitUntilPublished(change, within: .seconds(1)))
    let status = await anchor.status
    #expect(status.pending == [])
    #expect(status.endpoints[0].lacking > 0)
    #expect(
      status.endpoints[0].trouble?.reason == "first refuses network/node for good: 400 SchemaValidatorFailure: no")
    #expect(status.endpoints[1].lacking == 0 && status.endpoints[1].trouble == nil)

    let fourth = try await newMachine()
    let hopeless = [refused, fourth.did.text]
    for node in [first, second] {
      node.refuse { $0.descriptor["recipient"]?.string.map(hopeless.contains) == true ? no : nil }
    }
    let another = try await anchor.add(fourth.did, to: network, label: "fourth")
    try await run(.seconds(15))
    await #expect(throws: PublicationRefused.self) { try await plane.waitUntilPublished(another, within: .seconds(1)) }
    let peers = Set(await anchor.netmap?.peers.map(\.key) ?? [])
    #expect(peers == [member.key, third.key])
    // What was refused is tried again when a node is looked at, and goes out when it is taken.
    first.refuse(nil)
    try await run(.seconds(400))
    #expect(await anchor.status.endpoints.allSatisfy { $0.lacking == 0 && $0.trouble == nil })
    #expect(first.live(MeshProtocol.node).count == 3)
  }

  @Test("what was taken once stands, whatever new nodes refuse, or one that hides what it took")
  func takenOnce() async throws {
    let third = try await addMachine("third")
    try await run(.seconds(15))
    let refused = third.did.text
    let no = Reply(.init(400, "SchemaValidatorFailure: no"))
    let new = FakeNode(name: "new", tenant: anchor.did)
    new.refuse { $0.descriptor["recipient"]?.string == refused ? no : nil }
    anchor.stop()
    try await anchor.start(network, [new], addresses: [World.address(0)])
    try await run(.seconds(60), [anchor])
    #expect(await anchor.status.endpoints[0].trouble?.reason.contains("refuses network/node for good") == true)
    #expect(await anchor.keeper.ledger.nodes(of: network.id).map(\.did).contains(third.did))

    anchor.stop()
    for node in [first, second] {
      node.forgetEverything()
      node.refuse { $0.descriptor["recipient"]?.string == refused ? no : nil }
    }
    try await anchor.start(network, [first, second], addresses: [World.address(0)])
    try await run(.seconds(400), [anchor])
    #expect(await anchor.status.endpoints[0].trouble?.reason.contains("refuses network/node for good") == true)
    #expect(await anchor.keeper.ledger.nodes(of: network.id).map(\.did).contains(third.did))
  }

  @Test("what stands and is refused keeps heads away until it is ended")
  func endedOnce() async throws {
    let third = try await addMachine("third")
    try await run(.seconds(15))
    let refused = third.did.text
    let new = FakeNode(name: "new", tenant: anchor.did)
    let no = Reply(.init(400, "SchemaValidatorFailure: no"))
    new.refuse { $0.descriptor["recipient"]?.string == refused ? no : nil }
    anchor.stop()
    try await anchor.start(network, [new], addresses: [World.address(0)])
    try await run(.seconds(60), [anchor])
    let before = await anchor.status.endpoints[0]
    #expect(before.trouble?.reason.contains("refuses network/node for good") == true && before.lacking > 0)
    try await anchor.remove(third.did, from: network)
    try await run(.seconds(60), [anchor])
    let after = await anchor.status.endpoints[0]
    #expect(after.trouble == nil && after.lacking == 0)
    let heads = await anchor.keeper.ledger.outgoing.filter { $0.write?.path == MeshProtocol.head }
    #expect(new.live(MeshProtocol.head).map(\.latest.message.cid) == [heads.last?.signed.message.cid])
  }

  @Test("a head that nobody signed does not make an old state a new one")
  func madeUpHead() async throws {
    first.refuse { message in
      message.kind == .recordsQuery || message.kind == .recordsRead || message.kind == .protocolsQuery
        ? nil : Reply(.init(503, "the disk is full"))
    }
    var head = try HeadRecord(parsing: try #require(first.live(MeshProtocol.head).first?.data))
    head.seq = JSONValue.greatestInteger
    let path = MeshProtocol.head.text
    let madeUp = ReplyEntry(message: ["descriptor": ["protocolPath": .string(path)]], data: try head.encoded()).json
    first.tell { request, reply, _ in
      guard request.descriptor["filter"]?["protocolPath"]?.string == path else { return reply }
      var members = reply.members
      members["entries"] = .array((members["entries"]?.array ?? []) + [madeUp])
      return Reply(reply.status, members: members)
    }
    let third = try await addMachine("third")
    try await run(.seconds(330))
    #expect(await member.netmap?.peers.map(\.key).contains(third.key) == true)
    #expect(await member.plane?.choice.preferred == 1)
  }

  @Test("a node that shows more than there can be is left, and what it shows is not looked at")
  func excessive() async throws {
    let (anchorDID, junk) = (anchor.did, JSONValue.array((0...500).map { ["n": .integer($0)] }))
    first.tell { request, reply, _ in
      guard request.kind == .recordsQuery, !request.isSigned(by: anchorDID) else { return reply }
      return Reply(reply.status, members: ["entries": junk])
    }
    let third = try await addMachine("third")
    try await run(.seconds(30))
    #expect(await member.netmap?.peers.map(\.key).contains(third.key) == true)
    #expect(await member.plane?.choice.preferred == 1)
    let trouble = await member.status.endpoints[0].trouble
    #expect(trouble?.reason == "first shows more than a network can have")
    #expect(await member.status.refused == [])
  }

  @Test(
    "a member takes up the endpoints that the record names, and leaves those that it names no more, but for the one that works"
  )
  func named() async throws {
    let (url, anchorDID) = ("http://third.example", anchor.did)
    let third = FakeNode(name: url, tenant: anchorDID)
    anchor.stop()
    try await anchor.start(network, [first, second, third], addresses: [World.address(0)])
    member.stop()
    try await member.start(
      network, [first, second], addresses: [World.address(1)],
      dial: { $0.text == url ? third : FakeNode(name: $0.text, tenant: anchorDID) })
    let (id, wall) = (network.id, clock.wallTime())
    try await anchor.keeper.perform { ledger in try ledger.updateNetwork(id, now: wall) { $0.anchorEndpoints = [url] } }
    try await run(.seconds(20))
    let plane = try #require(member.plane)
    #expect(await plane.endpoints.map(\.name).filter { !$0.contains("10.200.") } == ["first", "second", url])
    #expect(await plane.choice.retired == [1])
    #expect(await plane.told == ["first", url])
    first.isReachable = false
    let fourth = try await addMachine("fourth")
    try await run(.seconds(30))
    #expect(await plane.endpoints[plane.choice.preferred].name == url)
    #expect(await plane.told == [url])
    #expect(await member.netmap?.peers.map(\.key).contains(fourth.key) == true)
    let stale = second.questions
    try await run(.seconds(60), [member])
    #expect(second.questions == stale)
  }

  /// The anchor names another endpoint, and the member has time to see it.
  private func move(to url: String) async throws {
    let (id, wall) = (network.id, clock.wallTime())
    try await anchor.keeper.perform { ledger in try ledger.updateNetwork(id, now: wall) { $0.anchorEndpoints = [url] } }
    try await run(.seconds(12))
  }

  /// Starts the member at the first node. What it dials but `known` answers nothing.
  private func startMember(dialling known: FakeNode? = nil) async throws -> DWNControlPlane {
    member.stop()
    try await member.start(
      network, [first], addresses: [World.address(1)],
      dial: { url in
        if let known, known.name == url.text { return known }
        return UnreachableNode(url.text)
      })
    return try #require(member.plane)
  }

  @Test("an anchor that moves again and again is followed: who is named no more leaves its place, and nothing in it")
  func moving() async throws {
    let last = FakeNode(name: "http://last.example", tenant: anchor.did)
    anchor.stop()
    try await anchor.start(network, [first, last], addresses: [World.address(0)])
    let plane = try await startMember(dialling: last)
    for number in 1...20 {
      try await move(to: "http://node\(number).example")
      #expect(await plane.activeEndpoints.map { $0.endpoint.name } == ["first", "http://node\(number).example"])
    }
    try await move(to: last.name)
    #expect(await plane.endpoints.count <= DWNControlPlane.endpointLimit + 1)
    #expect(await plane.told == ["first", last.name])
    #expect(await member.status.endpoints.allSatisfy { $0.lacking == 0 && $0.trouble == nil })
    for path in [MeshProtocol.nodeInfo, MeshProtocol.endpoint] {
      #expect(
        Set(first.live(path).map { $0.latest.message.cid }) == Set(last.live(path).map { $0.latest.message.cid }))
    }
    first.isReachable = false
    let third = try await addMachine("third")
    try await run(.seconds(60))
    #expect(await plane.endpoints[plane.choice.preferred].name == last.name)
    #expect(await member.netmap?.peers.map(\.key).contains(third.key) == true)
  }

  @Test("a node that the record names no more is left though it answers, once another has the records, and not before")
  func left() async throws {
    let nodes = ["http://one.example", "http://two.example"].map { FakeNode(name: $0, tenant: anchor.did) }
    let (one, two) = (nodes[0], nodes[1])
    anchor.stop()
    try await anchor.start(network, nodes, addresses: [World.address(0)])
    try await run(.seconds(15))
    member.stop()
    try await member.start(
      network, [one], addresses: [World.address(1)],
      dial: { url in
        if let node = nodes.first(where: { $0.name == url.text }) { return node }
        return UnreachableNode(url.text)
      })
    let plane = try #require(member.plane)
    try await move(to: one.name)
    two.isReachable = false
    try await move(to: two.name)
    try await run(.seconds(120))
    #expect(await plane.endpoints[plane.choice.preferred].name == one.name)
    #expect(await plane.choice.left == plane.choice.preferred)
    two.isReachable = true
    try await run(.seconds(150))
    #expect(await plane.endpoints[plane.choice.preferred].name == two.name)
    #expect(await plane.told == [two.name])
    let before = one.questions
    try await run(.seconds(330), [member])
    #expect(one.questions == before)
    // One that is named again in time is not left.
    try await move(to: one.name)
    #expect(await plane.endpoints[plane.choice.preferred].name == one.name)
  }

  @Test("a place is not given away while something of the former endpoint is under way")
  func underWay() async throws {
    let plane = try await startMember()
    for number in 1...20 { try await move(to: "http://node\(number).example") }
    let (place, endpoint) = try #require(await plane.activeEndpoints.last)
    let slow = try #require(endpoint as? UnreachableNode)
    slow.hold()
    defer { slow.release() }
    let question = Task { await plane.perform(.fetch(place)) }
    while !slow.isAsked { try await Task.sleep(for: .milliseconds(1)) }
    #expect(await plane.underWay.contains(.fetch(place)))
    try await move(to: "http://another.example")
    #expect(await plane.endpoints[place].name == slow.name)
    #expect(await plane.endpoints.contains { $0.name == "http://another.example" })
    slow.release()
    await question.value
    try await move(to: "http://one-more.example")
    #expect(await plane.endpoints[place].name == "http://one-more.example")
    #expect(await plane.readTroubles[place]?.reason.contains(slow.name) != true)
  }

  @Test(
    "a member that reaches no other node asks the anchor's over the mesh, and leaves it when another answers; no start begins with it"
  )
  func overTheMesh() async throws {
    let url = "http://192.168.1.1:9000"
    let (id, wall) = (network.id, clock.wallTime())
    try await anchor.keeper.perform { ledger in try ledger.updateNetwork(id, now: wall) { $0.anchorEndpoints = [url] } }
    let address = try #require(await anchor.netmap?.node.addresses.first?.address)
    let overMesh = FakeNode(name: "http://\(SocketAddress(address, port: 9000))", tenant: anchor.did)
    let away = FakeNode(name: url, tenant: anchor.did)
    anchor.stop()
    try await anchor.start(network, [first, second, overMesh, away], addresses: [World.address(0)])
    try await run(.seconds(15))
    away.isReachable = false
    member.stop()
    try await member.start(
      network, [away], addresses: [World.address(1)], dial: { $0.text == overMesh.name ? overMesh : away })
    let plane = try #require(member.plane)
    #expect(await plane.endpoints.map(\.name) == [url, overMesh.name])
    let third = try await addMachine("third")
    try await run(.seconds(60))
    #expect(await plane.choice.preferred == 1)
    #expect(await plane.told == [url])
    #expect(await member.netmap?.peers.map(\.key).contains(third.key) == true)
    away.isReachable = true
    try await run(.seconds(400))
    #expect(await plane.choice.preferred == 0)
    #expect(await member.status.pending == [])
    let before = overMesh.questions
    try await run(.seconds(330), [member])
    #expect(overMesh.questions == before)
  }

  @Test("a mesh address that comes back is what is tried last again, in the place that it had")
  func meshAddressComesBack() async throws {
    let plane = try await startMember()
    var places: [Int] = []
    for port in [9000, 9001, 9000, 9001] {
      try await move(to: "http://192.168.1.1:\(port)")
      let place = try #require(await plane.choice.reserve)
      let name = await plane.endpoints[place].name
      #expect(name.contains("10.200.") && name.hasSuffix(":\(port)"))
      #expect(await plane.choice.retired.isDisjoint(with: [place]))
      #expect(await plane.choice.retired.isSuperset(of: Set(places).subtracting([place])))
      places.append(place)
    }
    #expect(places[0] == places[2] && places[1] == places[3] && places[0] != places[1])
  }

  @Test("where every node is behind, each is asked at the usual pace and no more")
  func allBehind() async throws {
    let anchor = anchor.did
    let hide: FakeNode.Lie = { request, reply, _ in
      request.isSigned(by: anchor) ? reply : reply.hiding { $0.path == MeshProtocol.head.text }
    }
    first.tell(hide)
    second.tell(hide)
    try await run(.seconds(120))
    let before = first.count(.recordsQuery) + second.count(.recordsQuery)
    try await run(.seconds(300))
    let queries = first.count(.recordsQuery) + second.count(.recordsQuery) - before
    #expect(queries < 1500)
    #expect(await member.netmap?.peers.count == 1)
  }
}

/// An endpoint that cannot be reached: it fails at once; while it is held, questions fail when it is released.
private final class UnreachableNode: DWNEndpoint {
  let name: String
  private let state = Mutex((isHeld: false, isAsked: false))

  init(_ name: String) { self.name = name }

  func hold() { state.withLock { $0 = (true, false) } }

  func release() { state.withLock { $0.isHeld = false } }

  /// Whether a question waits for the release.
  var isAsked: Bool { state.withLock { $0.isAsked } }

  func process(tenant: DID, message: JSONValue, data: [UInt8]?) async throws(EndpointError) -> Reply {
    if message["descriptor"]?["method"] == "Query" {
      state.withLock { $0.isAsked = true }
      while state.withLock({ $0.isHeld }), !Task.isCancelled { try? await Task.sleep(for: .milliseconds(1)) }
    }
    throw .unreachable(name: name, reason: "it is switched off")
  }
}
