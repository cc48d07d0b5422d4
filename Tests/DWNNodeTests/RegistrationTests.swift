import Cryptography
import DWN
import Foundation
import Identity
import NIOCore
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// How a DID becomes a tenant of a public node, and what it then may store (dwn-server 13).
@Suite(.timeLimit(.minutes(10)))
struct RegistrationTests {
  private static let terms = "Be kind."
  private let tenancy: TestTenancy
  private let path: String

  init() throws {
    tenancy = try TestTenancy()
    path = tenancy.folder.appendingPathComponent("public.sqlite").path
  }

  private func node(terms: String? = nil, limits: NodeLimits = NodeLimits()) throws -> DWNNode {
    try DWNNode(
      databasePath: path,
      tenants: .registered(.init(terms: terms, work: 6), named: [tenancy.carol.did]), limits: limits)
  }

  private func get(_ running: RunningServer, _ path: String) async throws -> String {
    try await running.exchange("GET \(path) HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
  }

  private func post(_ running: RunningServer, _ json: JSONValue) async throws -> String {
    let body = json.text
    return try await running.exchange(
      "POST /registration HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
        + "content-length: \(body.utf8.count)\r\n\r\n\(body)")
  }

  private func body(_ answer: String) throws -> JSONValue {
    let range = try #require(answer.range(of: "\r\n\r\n"))
    return try JSONValue(parsing: String(answer[range.upperBound...]))
  }

  /// A registration with its work done, for whatever the server asks.
  private func solved(_ running: RunningServer, _ data: JSONValue) async throws -> JSONValue {
    let challenge = try body(try await get(running, "/registration/proof-of-work"))
    let nonce = try #require(challenge["challengeNonce"]?.string)
    let largest = try #require(challenge["maximumAllowedHashValue"]?.string)
    for number in 0... {
      let response = Hex.encode((0..<32).map { $0 < 24 ? 0 : UInt8(truncatingIfNeeded: number >> (8 * (31 - $0))) })
      let hash = Hex.encode(SHA2.sha256(Array((nonce + response + data.text).utf8)))
      if hash <= largest {
        return [
          "registrationData": data,
          "proofOfWork": ["challengeNonce": .string(nonce), "responseNonce": .string(response)],
        ]
      }
    }
    return .null
  }

  private func install(_ node: DWNNode, _ person: Person) async throws -> String {
    let definition = try tenancy.definition(#"{"box": {}}"#)
    let message = person.signer.protocolsConfigure(definition, at: tenancy.tick())
    let reply = try await node.process(tenant: person.did, message: message.message.value, data: nil)
    return "\(reply.status.code) \(reply.status.detail)"
  }

  @Test("who does the work and agrees to the terms is a tenant, also after a restart, until the terms change")
  func registers() async throws {
    let alice = tenancy.alice
    var node = try node(terms: Self.terms)
    var running = try await RunningServer.start(node)
    #expect(
      try await get(running, "/info").contains(
        #""registrationRequirements":["proof-of-work-sha256-v0","terms-of-service"]"#))
    #expect(try await install(node, alice) == "401 Not a registered tenant.")
    #expect(try await install(node, tenancy.carol).hasPrefix("202"), "one who is named")
    #expect(try await get(running, "/registration/terms-of-service").hasSuffix(Self.terms))

    let hash = Hex.encode(SHA2.sha256(Array(Self.terms.utf8)))
    let data: JSONValue = ["did": .string(alice.did.text), "termsOfServiceHash": .string(hash)]
    let registration = try await solved(running, data)
    #expect(try body(try await post(running, registration)) == ["success": true])
    #expect(try await install(node, alice).hasPrefix("202"))
    #expect(try await post(running, registration).contains("ProofOfWorkManagerResponseNonceReused"))
    await running.server.shutdown()
    await node.close()

    node = try self.node(terms: Self.terms)
    #expect(try await install(node, alice).hasPrefix("202"))
    await node.close()
    node = try self.node(terms: "Be kinder.")
    running = try await RunningServer.start(node)
    #expect(try await install(node, alice) == "401 Agreed terms-of-service is outdated.")
    #expect(
      try await post(running, try await solved(running, data)).contains(
        "RegistrationManagerInvalidOrOutdatedTermsOfServiceHash"))
    await running.server.shutdown()
    await node.close()
  }

  @Test("what is no registration is refused with its code, and nobody becomes a tenant by it")
  func refused() async throws {
    let node = try node()
    let running = try await RunningServer.start(node)
    let good = try await solved(running, ["did": .string(tenancy.alice.did.text)])
    let nonce = good["proofOfWork"]?["challengeNonce"] ?? .null
    let zero = JSONValue.string(String(repeating: "0", count: 64))
    func with(_ challenge: JSONValue, _ response: JSONValue, _ data: JSONValue? = nil) -> JSONValue {
      [
        "registrationData": data ?? good["registrationData"] ?? .null,
        "proofOfWork": ["challengeNonce": challenge, "responseNonce": response],
      ]
    }
    let response = good["proofOfWork"]?["responseNonce"] ?? .null
    for (json, code): (JSONValue, String) in [
      ([:], "RegistrationManagerInvalidRegistrationData"), (with("x", zero), "ProofOfWorkManagerInvalidChallengeNonce"),
      (with(nonce, "x"), "ProofOfWorkManagerInvalidResponseNonceFormat"),
      (with(zero, zero), "ProofOfWorkInvalidOrExpiredChallenge"),
      (with(nonce, response, ["did": .string(tenancy.bob.did.text)]), "ProofOfWorkInsufficientSolutionNonce"),
    ] {
      let answer = try await post(running, json)
      // One in 64 guesses is right.
      #expect(answer.contains(code) || answer.contains("success"), "\(answer)")
      #expect(answer.hasPrefix("HTTP/1.1 400") || answer.contains("success"))
    }
    #expect(try await install(node, tenancy.alice).hasPrefix("401"))
    await running.server.shutdown()
    await node.close()
    let open = try await RunningServer.start(tenancy.node)
    #expect(try await get(open, "/registration/proof-of-work").hasPrefix("HTTP/1.1 404"))
    await open.server.shutdown()
  }

  @Test("the work gets harder while many register, and as easy as at first again when they stop")
  func difficulty() throws {
    let random = SeededRandom(7)
    let easiest = UInt128.max
    var now = Instant(nanoseconds: 1_000_000_000_000)
    var work = ProofOfWork(easiest: easiest, random: random, now: now)
    let first = work.challenge(now: now)
    #expect(first.largestHash == String(repeating: "f", count: 64))
    for number in 0..<600 {
      now = now + .milliseconds(100)
      let challenge = work.challenge(now: now)
      try? work.take(
        challenge: challenge.nonce, response: Hex.encode(random.bytes(32)), registration: Array("\(number)".utf8),
        now: now)
    }
    let hard = work.challenge(now: now).largestHash
    #expect(hard < first.largestHash)
    for _ in 0..<2000 {
      now = now + .seconds(10)
      _ = work.challenge(now: now)
    }
    #expect(work.challenge(now: now).largestHash == first.largestHash)
    #expect(work.challenge(now: now).nonce != first.nonce)
  }

  @Test(
    "a solution counts by the bound that was told when the work began, though it has fallen since, but not for long")
  func formerBound() throws {
    let random = SeededRandom(9)
    var now = Instant(nanoseconds: 1_000_000_000_000)
    var work = ProofOfWork(easiest: .max, random: random, now: now)
    let told = work.challenge(now: now)
    func take(_ work: inout ProofOfWork) throws {
      try work.take(challenge: told.nonce, response: Hex.encode(random.bytes(32)), registration: [], now: now)
    }
    func pass(_ seconds: Int) {
      for _ in 0..<seconds * 5 {
        now = now + .milliseconds(200)
        try? take(&work)
      }
    }
    pass(100)
    #expect(work.challenge(now: now).largestHash < "00" + told.largestHash)
    try take(&work)
    pass(60)
    #expect(throws: RegistrationRefusal.self) { try take(&work) }
  }

  @Test("a challenge is taken from before it is the current one until after, and then no more")
  func challengeLife() throws {
    let random = SeededRandom(8)
    let now = Instant(nanoseconds: 1_000_000_000_000)
    var work = ProofOfWork(easiest: .max, random: random, now: now)
    let challenge = work.challenge(now: now).nonce
    func take(after seconds: Int) throws {
      try work.take(
        challenge: challenge, response: Hex.encode(random.bytes(32)), registration: [],
        now: now + .seconds(seconds))
    }
    try take(after: 0)
    try take(after: 1199)
    #expect(throws: RegistrationRefusal.self) { try take(after: 1200) }
  }

  @Test("of a list that changes, the owner is always a tenant and has no quota; the others come, go, and have one")
  func kept() async throws {
    let list = TenantList(owner: tenancy.alice.did)
    var limits = NodeLimits()
    limits.quota = TenantQuota(messages: 1, bytes: 60_000)
    let node = try DWNNode(databasePath: path, tenants: .kept(list), limits: limits)
    for _ in 0..<2 { #expect(try await install(node, tenancy.alice).hasPrefix("202")) }
    #expect(try await install(node, tenancy.bob) == "401 Not a registered tenant.")
    list.replace(with: [tenancy.bob.did])
    #expect(try await install(node, tenancy.bob).hasPrefix("202"))
    #expect(try await install(node, tenancy.bob).hasPrefix("429 TenantMessageQuotaExceeded"))
    #expect(try await install(node, tenancy.alice).hasPrefix("202"))
    list.replace(with: [])
    #expect(try await install(node, tenancy.bob) == "401 Not a registered tenant.")
    await node.close()
  }

  @Test("a tenant has its quota, and others as much again: neither takes the other's room")
  func quota() async throws {
    let node = try DWNNode(
      databasePath: path, tenants: .open,
      limits: {
        var limits = NodeLimits()
        limits.quota = TenantQuota(messages: 4, bytes: 60_000)
        return limits
      }())
    #expect(try await install(node, tenancy.alice).hasPrefix("202"))
    func write(_ data: String) async throws -> (Reply, RecordsWrite) {
      let draft = tenancy.draft("box", data: data)
      let write = tenancy.alice.signer.recordsWrite(draft, at: tenancy.tick())
      return (
        try await node.process(tenant: tenancy.alice.did, message: write.message.value, data: draft.data), write
      )
    }
    let (large, _) = try await write(String(repeating: "x", count: 60_000))
    #expect(large.status.code == 429 && large.status.detail.hasPrefix("TenantStorageQuotaExceeded"))
    var last: RecordsWrite?
    for _ in 0..<3 {
      let (reply, record) = try await write("{}")
      #expect(reply.status.code == 202)
      last = record
    }
    let (more, _) = try await write("{}")
    #expect(more.status.detail.hasPrefix("TenantMessageQuotaExceeded"), "\(more.status)")
    _ = try #require(last)
    let stored = StoredShares(
      tenant: StoredUsage(messages: 4, bytes: 40_000), guests: StoredUsage(messages: 5, bytes: 50_000))
    #expect(throws: Never.self) {
      try TenantQuota.ofGuests(TenantQuota(messages: 5, bytes: 60_000))
        .check(.init(all: StoredShares()), .init(all: stored))
    }
    let quota = TenantQuota(messages: 4, bytes: 60_000)
    var after = stored
    after.tenant.messages += 1
    after.tenant.bytes += 1
    #expect(throws: DWNError.self) { try quota.check(.init(all: stored), .init(all: after)) }
    after = stored
    after.guests.messages += 1
    after.guests.bytes += 1
    #expect(throws: DWNError.self, "others have used theirs up") {
      try quota.check(.init(all: stored), .init(all: after))
    }
    after.guests.messages = 4
    try quota.check(.init(all: stored), .init(all: after))
    await node.close()
  }
}
