import Cryptography
import DWN
import Identity
import Netmap
import TestSupport
import Testing
import Wire

@testable import Control
@testable import Mesh

@Suite("From a view to a netmap")
struct NetmapTranslatorTests {
  private let random = SeededRandom(3)
  private let start = WallTime(seconds: 1_790_000_000)

  private func node(_ identity: MachineIdentity, _ ip: String, name: String) -> MeshView.Node {
    let id = RecordID("bafy" + identity.did.text.suffix(20).filter(\.isLetter))!
    return MeshView.Node(
      did: identity.did, key: identity.wireGuardKey.publicKey, name: name, recordID: id, contextID: ContextID(root: id),
      path: MeshProtocol.node, record: NodeRecord(meshIP: IPAddress(ip)!, addedAt: start), newestStamp: start)
  }

  private func view(_ own: MachineIdentity, _ nodes: [MeshView.Node], policy: MeshView.Policy = .accepted(.acceptAll))
    -> MeshView
  {
    MeshView(
      network: NetworkReference(id: NetworkID("bafynetwork")!, anchor: own.did),
      head: MeshView.Head(seq: 1, epoch: .first, stamp: start, acceptedAt: start), record: NetworkRecord(name: "home"),
      nodes: nodes.sorted { $0.key < $1.key }, members: [:], policy: policy, relays: [], unused: [], did: own.did,
      nextExpiry: nil)
  }

  private func identities(_ count: Int) -> [MachineIdentity] { (0..<count).map { _ in .generate(random: random) } }

  @Test("peers are sorted by key, without this machine, each with its two addresses")
  func peers() throws {
    let machines = identities(6)
    let nodes = machines.enumerated().map { node($1, "10.200.0.\($0 + 2)", name: "n\($0)") }
    let netmap = try #require(NetmapTranslator.netmap(of: view(machines[0], nodes)))
    #expect(netmap.peers.map(\.key) == machines.dropFirst().map(\.wireGuardKey.publicKey).sorted())
    #expect(
      netmap.node.addresses == [IPPrefix("10.200.0.2/32")!, IPPrefix(host: AddressPlan.ipv6(for: machines[0].did))])
    #expect(netmap.node.meshPrefixes == [IPPrefix("10.200.0.0/16")!, AddressPlan.ipv6Block])
    #expect(netmap.peers.allSatisfy { $0.allowedIPs == $0.addresses && $0.addresses.count == 2 })
  }

  @Test("without a live node record of its own, or without a network record, there is no netmap")
  func none() {
    let machines = identities(2)
    #expect(NetmapTranslator.netmap(of: view(machines[0], [node(machines[1], "10.200.0.3", name: "x")])) == nil)
    var broken = view(machines[0], [node(machines[0], "10.200.0.3", name: "x")])
    broken.record = nil
    #expect(NetmapTranslator.netmap(of: broken) == nil)
    #expect(NetmapTranslator.notes(on: broken).count == 1)
  }

  @Test("endpoints: public before local, each once, none that leads to this host, its link or the mesh, twenty at most")
  func endpoints() throws {
    let machines = identities(2)
    var peer = node(machines[1], "10.200.0.3", name: "peer")
    func address(_ text: String) -> SocketAddress { SocketAddress(text)! }
    peer.endpoint = EndpointRecord(
      publicEndpoints: [
        .init(address("203.0.113.1:5")), .init(address("127.0.0.1:5")), .init(address("10.200.0.9:5")),
      ],
      localEndpoints: ["192.168.0.1:5", "203.0.113.1:5", "[fe80::1]:5", "[::ffff:192.168.0.2]:5"].map { address($0) }
        + (3...60).map { address("192.168.0.\($0):5") },
      updatedAt: start)
    let netmap = try #require(
      NetmapTranslator.netmap(of: view(machines[0], [node(machines[0], "10.200.0.2", name: "me"), peer])))
    let endpoints = try #require(netmap.peers.first?.endpoints)
    #expect(
      endpoints.prefix(4)
        == ["203.0.113.1:5", "192.168.0.1:5", "192.168.0.2:5", "192.168.0.3:5"].map { address($0) }[...])
    #expect(endpoints.count == 20)
  }

  @Test("networks behind a machine are not routed, and status says whose")
  func networksBehind() throws {
    let machines = identities(2)
    var peer = node(machines[1], "10.200.0.3", name: "peer")
    func translated() throws -> (peer: Peer, notes: [String]) {
      let view = view(machines[0], [node(machines[0], "10.200.0.2", name: "me"), peer])
      return (try #require(NetmapTranslator.netmap(of: view)?.peers.first), NetmapTranslator.notes(on: view))
    }
    let addresses = try translated().peer.addresses
    peer.record.allowedIPs = addresses
    #expect(try translated().notes.isEmpty)
    peer.record.allowedIPs += ["172.16.0.0/12", "10.200.0.2/32", "0.0.0.0/0"].map { IPPrefix($0)! }
    #expect(try translated().peer.allowedIPs == addresses)
    let notes = try translated().notes
    #expect(notes.count == 1 && notes[0].contains("peer") && notes[0].contains("172.16.0.0/12 and 2 more"), "\(notes)")
  }

  @Test("what a peer says of its NAT, its key and its relays reaches the engine")
  func paths() throws {
    let machines = identities(2)
    var peer = node(machines[1], "10.200.0.3", name: "peer")
    func translated() throws -> Peer {
      try #require(
        NetmapTranslator.netmap(of: view(machines[0], [node(machines[0], "10.200.0.2", name: "me"), peer]))?.peers.first
      )
    }
    let key = machines[0].wireGuardKey.publicKey
    peer.endpoint = EndpointRecord(
      publicEndpoints: [.init(SocketAddress("203.0.113.1:5")!, source: .pcp)], natType: .endpointDependent,
      discoKey: key, preferredDERP: 3, standbyDERP: 1, updatedAt: start)
    #expect(try translated().natMapping == .endpointDependent)
    #expect(try translated().hasMappedPort)
    #expect(try translated().discoKey == key && translated().relayIDs == [3, 1])
    peer.endpoint = EndpointRecord(
      publicEndpoints: [.init(SocketAddress("203.0.113.1:5")!, source: .stun)], preferredDERP: 3, standbyDERP: 3,
      updatedAt: start)
    #expect(try translated().natMapping == nil)
    #expect(try !translated().hasMappedPort)
    #expect(try translated().discoKey == nil && translated().relayIDs == [3])
  }

  @Test(
    "relays that machines name themselves count in networks with encryption v1 alone, under ids that follow from their DIDs"
  )
  func pins() throws {
    let machines = identities(2)
    var peer = node(machines[1], "10.200.0.3", name: "peer")
    let certificate = Bytes32([UInt8](repeating: 5, count: 32))!
    let pin = RelayPin.id(of: machines[1].did)
    peer.endpoint = EndpointRecord(
      preferredDERP: 1, homeRelay: pin,
      relay: RelayOffer(ipv4: IPAddress("193.0.0.1"), port: 8788, stunPorts: [8788], certSHA256: certificate),
      updatedAt: start)
    var view = view(machines[0], [node(machines[0], "10.200.0.2", name: "me"), peer])
    #expect(NetmapTranslator.netmap(of: view)?.relays == [])
    view.network = NetworkReference(id: view.network.id, anchor: view.network.anchor, envelope: .v1)
    let netmap = try #require(NetmapTranslator.netmap(of: view))
    #expect(
      netmap.relays == [
        Relay(
          id: pin, region: "peer", host: "193.0.0.1", port: 8788, ipv4: IPAddress("193.0.0.1"),
          certificateSHA256: certificate, stunPorts: [8788], isOffered: true)
      ])
    #expect(netmap.peers[0].relayIDs == [pin])

    for index in view.nodes.indices { view.nodes[index].endpoint?.relay?.ipv6 = IPAddress("::ffff:10.0.0.5") }
    #expect(NetmapTranslator.netmap(of: view)?.relays == netmap.relays)
    view.relays = [RelayRecord(id: 1, RelayPlan(host: .name("relay.example.com"), port: 443, stunPorts: [3478]))]
    let both = try #require(NetmapTranslator.netmap(of: view)).relays
    #expect(both.map(\.id) == [1, pin])
    #expect(!both[0].isOffered, "the owner says so")
    #expect(both[0].host == "relay.example.com" && both[0].ipv4 == nil && both[0].certificateSHA256 == nil)
  }

  @Test("the revision of a peer with a disco key changes with key, addresses and relays, and not with ports and times")
  func revisionOfReachable() throws {
    let machines = identities(2)
    var peer = node(machines[1], "10.200.0.3", name: "peer")
    func revision(_ port: UInt16, _ ip: String = "203.0.113.1", key: Int = 0, home: UInt16? = 1) -> UInt64 {
      peer.endpoint = EndpointRecord(
        publicEndpoints: [.init(SocketAddress(IPAddress(ip)!, port: port), source: .stun)],
        discoKey: machines[key].wireGuardKey.publicKey, preferredDERP: home, updatedAt: start + .seconds(Int64(port)))
      peer.endpointStamp = start + .seconds(Int64(port))
      return PeerRevision.of(peer)
    }
    let first = revision(1000)
    #expect(revision(2000) == first)
    #expect(revision(1000, "203.0.113.2") != first)
    #expect(revision(1000, key: 1) != first)
    #expect(revision(1000, home: 2) != first)
  }

  @Test("the revision changes with the node record and with the endpoint record, also when their clocks disagree")
  func revision() throws {
    let machines = identities(2)
    let own = node(machines[0], "10.200.0.2", name: "me")
    var peer = node(machines[1], "10.200.0.3", name: "peer")
    func revision() throws -> UInt64 {
      try #require(NetmapTranslator.netmap(of: view(machines[0], [own, peer]))?.peers.first?.revision)
    }
    let bare = try revision()
    peer.endpoint = EndpointRecord(updatedAt: start)
    peer.endpointStamp = start + .seconds(-30)
    let withEndpoint = try revision()
    peer.newestStamp = start + .seconds(1)
    let renewed = try revision()
    #expect(Set([bare, withEndpoint, renewed]).count == 3)
  }

  @Test("whatever the policy says, the anchor admits TCP to its node from every machine of the mesh, and nothing else")
  func node() throws {
    let machines = identities(2)
    let nodes = [node(machines[0], "10.200.0.2", name: "anchor"), node(machines[1], "10.200.0.3", name: "peer")]
    let own = PacketFilterRules.Rule(
      action: .accept, sources: [IPPrefix("10.200.0.0/16")!], destinations: [IPPrefix("10.200.0.2/32")!],
      destinationPorts: [8787...8787], protocols: [6])
    for policy in [MeshView.Policy.missing, .unusable("it is not JSON")] {
      let anchor = view(machines[0], nodes, policy: policy)
      #expect(
        NetmapTranslator.netmap(of: anchor, nodePort: 8787)?.filter
          == PacketFilterRules(rules: [own], defaultAction: .drop))
      #expect(NetmapTranslator.netmap(of: anchor)?.filter == .denyAll)
      var member = view(machines[1], nodes, policy: policy)
      member.network = anchor.network
      #expect(NetmapTranslator.netmap(of: member, nodePort: 8787)?.filter == .denyAll)
    }
    #expect(NetmapTranslator.netmap(of: view(machines[0], nodes), nodePort: 8787)?.filter == .acceptAll)
  }

  @Test("the anchor's node has the port of the anchor's own addresses, else the usual one")
  func meshEndpoint() {
    let machines = identities(1)
    var view = view(machines[0], [node(machines[0], "10.200.0.2", name: "anchor")])
    func url(_ endpoints: [String]) -> String? {
      view.record?.anchorEndpoints = endpoints
      return MeshEndpoint(view)?.url
    }
    #expect(url(["http://203.0.113.1:443", "http://192.168.1.2:9000"]) == "http://10.200.0.2:9000")
    #expect(url(["https://dwn.example.com", "http://[2001:db8::1]:9001"]) == "http://10.200.0.2:9001")
    #expect(url(["https://dwn.example.com/path"]) == "http://10.200.0.2:8787")
    view.nodes[0].endpoint = EndpointRecord(localEndpoints: [SocketAddress("192.168.1.2:41641")!], updatedAt: start)
    #expect(url(["http://192.168.1.2:9000", "http://203.0.113.9:80"]) == "http://10.200.0.2:9000")
    view.nodes[0].endpoint?.localEndpoints = []
    view.nodes[0].endpoint?.publicEndpoints = [.init(SocketAddress("203.0.113.5:41641")!)]
    #expect(
      url(["http://203.0.113.5:443", "http://203.0.113.5:9002", "http://198.51.100.9:80"]) == "http://10.200.0.2:9002")
    view.nodes = []
    #expect(url(["http://192.168.1.2:9000"]) == nil)
  }

  @Test("only a policy that accepts everything opens the filter")
  func filter() throws {
    let machines = identities(1)
    func filter(_ policy: MeshView.Policy) -> PacketFilterRules? {
      NetmapTranslator.netmap(of: view(machines[0], [node(machines[0], "10.200.0.2", name: "me")], policy: policy))?
        .filter
    }
    let some = try ACLPolicy([
      "version": 1, "rules": [["action": "accept", "src": ["*"], "dst": ["*"], "dstPorts": ["22"]]],
    ])
    #expect(filter(.accepted(.acceptAll)) == .acceptAll)
    #expect(filter(.accepted(some)) == .denyAll)
    #expect(filter(.missing) == .denyAll)
    #expect(filter(.unusable("it is not JSON")) == .denyAll)
  }
}
