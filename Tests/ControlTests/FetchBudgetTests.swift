import DWN
import Mesh
import Synchronization
import Testing
import Wire

@testable import Control

@Suite("How much a fetch takes from a node")
struct FetchBudgetTests {
  /// A node of which every page is followed by another one.
  private func endless(_ world: World, entries: Int, text: String = "") async throws -> NodeQueries {
    let pages = Mutex<Int64>(0)
    world.node.tell { request, reply, _ in
      guard request.kind == .recordsQuery else { return reply }
      let page = pages.withLock { pages -> Int64 in
        pages += 1
        return pages
      }
      let shown = (0..<entries).map {
        JSONValue.object(["page": .integer(page), "n": .integer(Int64($0)), "t": .string(text)])
      }
      let cursor: JSONValue = ["messageCid": .string("\(page)"), "value": "x"]
      return Reply(reply.status, members: ["entries": .array(shown), "cursor": cursor])
    }
    return try await #require(world.member.plane).queries(to: 0)
  }

  private func isExcessive(_ body: () async throws -> Void) async -> Bool {
    do { try await body() } catch NodeQueries.Failure.excessive { return true } catch {}
    return false
  }

  @Test("endless pages end where a network could have no more, over all queries together")
  func pages() async throws {
    let world = try await World.settled()
    let queries = try await endless(world, entries: 500)
    let before = world.node.count(.recordsQuery)
    #expect(await isExcessive { _ = try await queries.complete() })
    let asked = world.node.count(.recordsQuery) - before
    let ofOwnRecords = MeshProtocol.ownRecords.count * (MeshReader.recordLimit / 500 + 1)
    #expect(asked >= FetchBudget.entryLimit / 500 && asked < FetchBudget.entryLimit / 500 + ofOwnRecords + 20)
    // What was begun with it is not gone on with.
    #expect(await isExcessive { _ = try await queries.records(at: MeshProtocol.head) })
    #expect(world.node.count(.recordsQuery) - before == asked)
  }

  @Test("large entries end where their bytes are more than a network has")
  func bytes() async throws {
    let world = try await World.settled()
    var queries = try await endless(world, entries: 2, text: String(repeating: "x", count: 50_000))
    queries.budget = FetchBudget(bytes: 1_000_000)
    let before = world.node.count(.recordsQuery)
    #expect(await isExcessive { _ = try await queries.records(at: MeshProtocol.node) })
    #expect(world.node.count(.recordsQuery) - before == 10)
  }

  @Test(
    "a member that writes without end takes nothing from what the anchor wrote, and is read to a bound",
    arguments: MeshProtocol.ownRecords)
  func talkative(path: ProtocolPath) async throws {
    let world = try await World.settled()
    let queries = try await #require(world.member.plane).queries(to: 0)
    let honest = try await queries.complete()
    let pages = Mutex<Int64>(0)
    world.node.tell { request, reply, _ in
      guard request.kind == .recordsQuery, request.descriptor["filter"]?["protocolPath"]?.string == path.text else {
        return reply
      }
      let page = pages.withLock { pages -> Int64 in
        pages += 1
        return pages
      }
      let shown = (0..<500).map { JSONValue.object(["page": .integer(page), "n": .integer(Int64($0))]) }
      let cursor: JSONValue = ["messageCid": .string("\(page)"), "value": "x"]
      return Reply(reply.status, members: ["entries": .array(shown), "cursor": cursor])
    }
    let flooded = try await #require(world.member.plane).queries(to: 0)
    let shown = try await flooded.complete()
    #expect(pages.withLock { $0 } == Int64(MeshReader.recordLimit / 500 + 1))
    let others = honest.filter { $0.message["descriptor"]?["protocolPath"]?.string != path.text }
    #expect(others.allSatisfy(Set(shown).contains))
  }

  @Test("a page with more than was asked for is none")
  func largePage() async throws {
    let world = try await World.settled()
    let queries = try await endless(world, entries: 501)
    #expect(await isExcessive { _ = try await queries.records(at: MeshProtocol.node) })
  }

  @Test("what is shown again and again is given once")
  func repeats() async throws {
    let world = try await World.settled()
    let queries = try await #require(world.member.plane).queries(to: 0)
    let honest = try await queries.records(at: MeshProtocol.node)
    world.node.tell { _, reply, _ in
      let entries = reply.members["entries"]?.array ?? []
      return Reply(reply.status, members: ["entries": .array((0..<100).flatMap { _ in entries })])
    }
    #expect(try await queries.records(at: MeshProtocol.node) == honest)
    #expect(honest.count == 2)
  }
}
