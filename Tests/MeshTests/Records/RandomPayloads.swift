import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Wire

/// Values that a writer may make, and JSON that a stranger may send; one seed gives one sequence.
struct RandomPayloads {
  private let random: SeededRandom

  init(seed: UInt64) {
    random = SeededRandom(seed)
  }

  private func chance() -> Bool { random.uniform(below: 2) == 0 }
  private func below(_ bound: UInt64) -> Int { Int(random.uniform(below: bound)) }
  private func pick<T>(_ list: [T]) -> T { list[below(UInt64(list.count))] }
  private func maybe<T>(_ value: @autoclosure () -> T) -> T? { chance() ? value() : nil }
  private func several<T>(upTo most: UInt64, _ value: () -> T) -> [T] { (0..<below(most + 1)).map { _ in value() } }

  func text() -> String {
    let letters = Array("abcdefghijklmnopqrstuvwxyz äß☃𝄞\"\\/")
    return String((0...below(20)).map { _ in pick(letters) })
  }

  func did() -> DID { DID("did:example:\(random.uint64())")! }
  func time() -> WallTime { WallTime(seconds: Int64(random.uniform(below: 4_000_000_000))) }
  func v4() -> IPAddress { IPAddress(v4: random.uint32()) }
  func v6() -> IPAddress { IPAddress(v6: UInt128(random.uint64()) << 64 | UInt128(random.uint64())) }
  func address() -> IPAddress { chance() ? v4() : v6() }
  func port() -> UInt16 { UInt16(1 + below(65535)) }
  func socket() -> SocketAddress { SocketAddress(address(), port: port()) }
  func bytes() -> [UInt8] { random.bytes(below(100)) }
  func hash() -> Bytes32 { Bytes32(random.bytes(32))! }

  func prefix() -> IPPrefix {
    let address = address()
    return IPPrefix(address, length: below(UInt64(address.family.bits + 1)))!
  }

  func network() -> NetworkRecord {
    let endpoints = (0..<below(4)).map { "http://\(address()):\(8000 + $0)" }
    return NetworkRecord(
      name: text(), meshCIDR: IPPrefix(v4(), length: below(31))!, anchorEndpoints: endpoints,
      suffix: pick(["mesh.local", "example.net"]), dnsServers: several(upTo: 3) { address().description })
  }

  func node() -> NodeRecord {
    NodeRecord(
      meshIP: v4(), addedAt: time(), label: maybe(text()), ownerDID: maybe(did()), memberDID: maybe(did()),
      delegateDID: maybe(did()), expiresAt: maybe(time()), allowedIPs: several(upTo: 5, prefix),
      sourceDWN: maybe("https://example.net"))
  }

  func member() -> MemberRecord { MemberRecord(addedAt: time(), label: maybe(text())) }

  func nodeInfo() -> NodeInfoRecord {
    NodeInfoRecord(
      hostname: text(), os: pick(["linux", "darwin"]), capabilities: chance() ? [] : ["relay", "subnet-router"])
  }

  func endpoint() -> EndpointRecord {
    EndpointRecord(
      publicEndpoints: several(upTo: 8) {
        .init(socket(), priority: maybe(Int64(below(100))), source: maybe(pick([.stun, .fixed, .pcp, .upnp])))
      },
      localEndpoints: several(upTo: 12, socket),
      natType: pick([.unknown, .endpointDependent, .endpointIndependent]),
      discoKey: maybe(X25519PrivateKey(random: random).publicKey), preferredDERP: maybe(port()),
      standbyDERP: maybe(port()),
      relay: maybe(
        RelayOffer(
          host: maybe(host()), ipv4: maybe(v4()), ipv6: maybe(v6()), port: port(), stunPorts: several(upTo: 2, port),
          certSHA256: hash())), updatedAt: time())
  }

  func host() -> RelayHost {
    chance() ? .address(address()) : .name(pick(["relay.example.net", "a-b.example", "localhost"]))
  }

  func relay() -> RelayRecord {
    RelayRecord(
      id: port(),
      RelayPlan(
        host: host(), port: port(), ipv4: maybe(v4()), ipv6: maybe(v6()), certSHA256: maybe(hash()),
        stunPorts: several(upTo: 2, port), stunOnly: chance(), region: text(), nodeDID: maybe(did())))
  }

  func relayName() -> RelayNameRecord {
    RelayNameRecord(url: pick(["relay.example.net", "a-b.example"]), region: text(), stunPort: port())
  }

  func head() -> HeadRecord {
    HeadRecord(
      seq: Int64(1 + below(1 << 50)), epoch: KeyEpoch(Int64(below(1 << 50)))!, records: hash())
  }

  /// An object whose members have the names of the schema's, and mostly anything as their values.
  func json(resembling schema: JSONValue, depth: Int = 0) -> JSONValue {
    if below(8) == 0 { return anything(depth: depth) }
    if let properties = schema["properties"]?.object {
      var object = JSONObject()
      for (name, member) in properties.members where below(6) != 0 {
        object[name] = json(resembling: member, depth: depth + 1)
      }
      if below(4) == 0 { object[text()] = anything(depth: depth) }
      return .object(object)
    }
    if let items = schema["items"] { return .array(several(upTo: 4) { json(resembling: items, depth: depth + 1) }) }
    if let choices = schema["enum"]?.array { return pick(choices) }
    if let constant = schema["const"] { return constant }
    switch schema["type"]?.string {
    case "integer": return .integer(pick([0, 1, -1, 65535, 65536, Int64(below(1000)), JSONValue.greatestInteger]))
    case "boolean": return .bool(chance())
    case "object": return ["a": .array(several(upTo: 2) { .string(did().text) })]
    default:
      return .string(
        pick([
          text(), did().text, time().rfc3339, address().description, prefix().description, socket().description,
          "https://\(socket())", Base64.encode(hash().array), Base64.encode(hash().array, .standard),
          Hex.encode(hash().array),
          "protocolContext", "*", "1-2",
        ]))
    }
  }

  private func anything(depth: Int) -> JSONValue {
    switch below(depth > 4 ? 5 : 7) {
    case 0: .null
    case 1: .bool(chance())
    case 2: .integer(Int64(below(100)) - 50)
    case 3: .number(Double(below(1000)) / 7 + 0.01)
    case 4: .string(text())
    case 5: .array(several(upTo: 3) { anything(depth: depth + 1) })
    default: .object(JSONObject(several(upTo: 3) { (text(), anything(depth: depth + 1)) }))
    }
  }
}
