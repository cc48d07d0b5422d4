import Control
import Cryptography
import DWN
import Identity
import Mesh
import Netmap
import Wire

/// From the records of a thousand machines to a netmap, beside the verification of their signatures, without which nothing of them
/// may be believed.
///
/// *New* is what a machine does that joins, or starts: every message is parsed, hashed, verified, opened and translated. *Accepted*
/// is what a change costs a running daemon after that.
struct NetmapTranslation: Benchmark {
  static let nodes = 1000

  let title = "netmaps of \(nodes) machines, one core"

  func figures(_ effort: Effort) throws -> [Figure] {
    let mesh = try SampleMesh(nodes: Self.nodes)
    let accepted = mesh.reader(offered: mesh.entries)
    precondition(mesh.netmap(of: accepted).peers.count == Self.nodes - 1, "not every machine became a peer")
    let signatures = mesh.entries.map(SampleSignature.init)

    let rates = Interleaving.rates(
      [
        Contender(name: "accepted") { count in
          for _ in 0..<count { use(mesh.netmap(of: accepted)) }
        },
        Contender(name: "new") { count in
          for _ in 0..<count { use(mesh.netmap(of: mesh.reader(offered: mesh.entries))) }
        },
        Contender(name: "signatures") { count in
          for _ in 0..<count { precondition(signatures.allSatisfy(\.verifies)) }
        },
      ], rounds: 5)
    let limit = Figure("signatures of \(mesh.entries.count) records alone, libsodium", rates[2], "netmaps/s")
    return [
      Figure("netmap of \(Self.nodes) machines, records accepted", rates[0], versus: limit),
      Figure("netmap of \(Self.nodes) machines, records new", rates[1], versus: limit), limit,
    ]
  }
}

/// A mesh as its second machine finds it on a node.
private struct SampleMesh {
  private let network: NetworkReference
  private let member: MachineIdentity
  private let wallTime: WallTime
  private let now = Instant(nanoseconds: 1_000_000_000)

  /// Every message that the machine has to look at: definition, network, policy, its own contextKey, head, and of each machine its node
  /// and its endpoint.
  private(set) var entries: [ReplyEntry]

  init(nodes: Int) throws {
    let random = SystemRandom()
    let machines = (0..<nodes).map { _ in MachineIdentity.generate(random: random) }
    member = machines[1]
    var clock = WallTime(seconds: 1_800_000_000)
    var ledger = try Ledger(identity: machines[0])
    let record = NetworkRecord(name: "bench", anchorEndpoints: ["http://192.0.2.1:8787"])
    network = try ledger.createNetwork(NetworkPlan(record: record), now: clock, random: random).network
    // Changes within a second share a head.
    clock = clock + .milliseconds(1)
    for machine in machines.dropFirst() {
      _ = try ledger.addNode(NodeAdmission(did: machine.did, label: "peer"), to: network.id, now: clock, random: random)
    }
    clock = clock + .seconds(2)
    _ = try ledger.writeDueHeads(now: clock)

    let reader = member
    entries = ledger.outgoing.filter { message in
      message.write?.protocolURI != KeyDeliveryProtocol.uri || message.write?.recipient == reader.did
    }.map(\.entry)
    wallTime = clock + .seconds(1)

    let knowing = self.reader(offered: entries)
    guard let view = knowing.view(at: wallTime), let cipher = knowing.cipher else {
      throw BenchmarkFailure(reason: "the sample mesh was not accepted")
    }
    let identities = Dictionary(uniqueKeysWithValues: machines.map { ($0.did, $0) })
    for (index, node) in view.nodes.enumerated() {
      guard let identity = identities[node.did] else { continue }
      // The anchor writes through the ledger that knows its network.
      var own = identity.did == network.anchor ? ledger : try Ledger(identity: identity)
      let address = IPAddress(v4: 0xc612_0000 + UInt32(index))
      let endpoint = EndpointRecord(localEndpoints: [SocketAddress(address, port: 41641)], updatedAt: wallTime)
      let change = try own.publish(
        .endpoint(endpoint), below: node, in: network, cipher: cipher, now: wallTime, random: random)
      entries += change.entries
    }
  }

  /// A reader that starts from nothing and is shown everything.
  func reader(offered entries: [ReplyEntry]) -> MeshReader {
    var reader = MeshReader(network: network, identity: member)
    _ = reader.offer(entries, extent: .complete, at: now, wall: wallTime)
    return reader
  }

  func netmap(of reader: MeshReader) -> Netmap {
    guard let view = reader.view(at: wallTime), let netmap = NetmapTranslator.netmap(of: view) else {
      preconditionFailure("the sample mesh has no netmap")
    }
    return netmap
  }
}

/// What a verifier has to check of one message, taken apart beforehand.
private struct SampleSignature {
  private let key: Ed25519PublicKey
  private let signature: [UInt8]
  private let signed: [UInt8]

  init(_ entry: ReplyEntry) {
    guard let json = entry.message["authorization"]?["signature"], let jws = try? GeneralJWS(json),
      let part = jws.signatures.first, let signature = Base64.decode(part.signature), let kid = part.kid,
      let document = part.signer.flatMap({ try? OfflineResolver().resolve($0) }),
      case .ed25519(let key)? = document.method(for: kid).flatMap({ PublicJWK($0.publicKeyJWK) })
    else { preconditionFailure("a message of the sample mesh is not signed") }
    self.key = key
    self.signature = signature
    signed = Array("\(part.protected).\(jws.payload)".utf8)
  }

  var verifies: Bool { key.verify(signature: signature, of: signed) }
}
