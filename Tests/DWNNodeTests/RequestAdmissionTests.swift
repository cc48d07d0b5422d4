import DWN
import Foundation
import Identity
import NIOCore
import NIOPosix
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What is asked about a request before its body is taken in (dwn-server 13).
@Suite(.timeLimit(.minutes(10)))
struct RequestAdmissionTests {
  private let tenancy: TestTenancy

  init() async throws {
    tenancy = try TestTenancy(limits: NodeLimits(largestData: 4 << 20))
    let definition = #"{"blob": {"$actions": [{"who": "anyone", "can": ["create", "read"]}]}}"#
    #expect(try await tenancy.install(definition).status.code == 202)
  }

  private func head(_ message: JSONValue, length: Int, from address: String? = nil) -> String {
    let call: JSONValue = [
      "jsonrpc": "2.0", "id": "1", "method": "dwn.processMessage",
      "params": ["target": .string(tenancy.alice.did.text), "message": message],
    ]
    return "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
      + (address.map { "x-forwarded-for: \($0)\r\n" } ?? "")
      + "dwn-request: \(call.asciiText)\r\ncontent-length: \(length)\r\n\r\n"
  }

  private var files: Int {
    (try? FileManager.default.contentsOfDirectory(atPath: DataFolder.path(of: tenancy.databasePath)))?.count ?? 0
  }

  @Test("beyond its rate an address hears so before its body, and one without a body keeps its connection")
  func rate() async throws {
    let running = try await RunningServer.start(tenancy.node) {
      $0.rates = RateConfiguration(perAddress: RateLimit(perSecond: 0.01, burst: 1), exemptsLoopback: false)
    }
    let get = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    let answers = try await running.exchange(get + get + head([:], length: 3_000_000))
    let lines = answers.split(separator: "\r\n").filter { $0.contains("HTTP/1.1 ") }
    #expect(lines.count == 3, "\(answers)")
    #expect(lines[0].contains(" 200 ") && lines.dropFirst().allSatisfy { $0.contains(" 429 ") }, "\(answers)")
    await running.server.shutdown()
  }

  @Test("a header that is no UTF-8 is no call, and neither is one with the character that stands for that")
  func notUTF8() async throws {
    let running = try await RunningServer.start(tenancy.node)
    func answer(id: String) async throws -> String {
      let call = #"{"jsonrpc":"2.0","id":"\#(id)","method":"no.such","params":{}}"#
      return try await running.exchange(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ndwn-request: \(call)\r\ncontent-length: 0\r\n\r\n")
    }
    #expect(try await answer(id: "é").contains("-32601"))
    #expect(try await answer(id: #"\ufffd"#).contains("-32601"))
    #expect(try await answer(id: "\u{fffd}").hasPrefix("HTTP/1.1 400 "))
    await running.server.shutdown()
  }

  @Test("nothing large is stored for a message whose signature is not its author's")
  func forged() async throws {
    let running = try await RunningServer.start(tenancy.node)
    let data = String(repeating: "0123456789abcdef", count: 100_000)
    let genuine = tenancy.bob.signer.recordsWrite(tenancy.draft("blob", data: data), at: tenancy.tick())
    let other = tenancy.bob.signer.recordsWrite(tenancy.draft("blob", data: data), at: tenancy.tick())
    var forged = try #require(genuine.message.value.object)
    forged["authorization"] = other.message.value["authorization"]
    let part = data.prefix(600_000)
    let answer = try await running.exchange(head(.object(forged), length: data.utf8.count) + part)
    #expect(answer.hasPrefix("HTTP/1.1 200 ") && !answer.contains(#""code":202"#), "\(answer)")
    #expect(answer.contains(#""code":40"#), "\(answer)")
    var unsigned = forged
    unsigned["authorization"] = nil
    let second = try await running.exchange(head(.object(unsigned), length: data.utf8.count) + part)
    #expect(second.contains(#""code":40"#), "\(second)")
    #expect(files == 0)
    let third = try await running.exchange(
      head(genuine.message.value, length: data.utf8.count) + data)
    #expect(third.contains(#""code":202"#), "\(third)")
    #expect(files == 1)
    await running.server.shutdown()
  }

  @Test("a stranger that sends bodies and does not end them leaves room for those of others")
  func bodies() async throws {
    let running = try await RunningServer.start(tenancy.node) {
      $0.trustedProxies = [IPPrefix("127.0.0.0/8")!]
      $0.bodyBudget = 800_000
    }
    let data = String(repeating: "x", count: 90_000)
    let write = tenancy.bob.signer.recordsWrite(tenancy.draft("blob", data: data), at: tenancy.tick())
    func request(_ address: String) -> String {
      head(write.message.value, length: data.utf8.count, from: address)
    }
    let stalled = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: running.address.ip.description, port: Int(running.address.port)).get()
    try await stalled.writeAndFlush(ByteBuffer(string: request("192.0.2.1") + data.dropLast()))
    var answer = ""
    for _ in 0..<200 where !answer.hasPrefix("HTTP/1.1 503 ") {
      answer = try await running.exchange(request("192.0.2.1") + data)
    }
    #expect(answer.hasPrefix("HTTP/1.1 503 "), "\(answer)")
    let other = try await running.exchange(request("192.0.2.2") + data)
    #expect(other.contains(#""code":202"#) || other.contains(#""code":409"#), "\(other)")
    try await stalled.close()
    await running.server.shutdown()
  }

  @Test("staged data of others leaves room to tenants, and that of one network to the next")
  func staging() throws {
    let folder = DataFolder(
      path: tenancy.folder.appendingPathComponent("staged").path, largestStaging: 800, random: SystemRandom())
    func room(_ address: String) -> StagingRoom {
      StagingRoom(in: folder, for: .other(Caller(IPAddress(address))))
    }
    let first = room("192.0.2.1")
    #expect(first.grow(by: 100) && !first.grow(by: 1))
    let others = ["192.0.2.2", "198.51.100.1", "198.51.100.2", "203.0.113.1", "203.0.113.2"].map(room)
    #expect(others.allSatisfy { $0.grow(by: 100) })
    #expect(!room("2001:db8::1").grow(by: 1), "a quarter is for tenants")
    let own = StagingRoom(in: folder, for: .tenant)
    #expect(own.grow(by: 200) && !own.grow(by: 1))
    withExtendedLifetime((first, others, own)) {}
  }

  @Test("data as large as one may bring finds room piece by piece")
  func largestData() throws {
    let folder = DataFolder(
      path: tenancy.folder.appendingPathComponent("staged").path, largestStaging: 800, largestData: 400,
      random: SystemRandom())
    let room = StagingRoom(in: folder, for: .other(Caller(IPAddress("192.0.2.1"))))
    for _ in 0..<40 { #expect(room.grow(by: 10)) }
    #expect(!room.grow(by: 1))
    withExtendedLifetime(room) {}
  }
}
