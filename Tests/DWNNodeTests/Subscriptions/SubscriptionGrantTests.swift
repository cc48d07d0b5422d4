import DWN
import Identity
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Following records and the feed by a grant, for as long as that lasts (dwn-server 8, 9.3, 9.5).
@Suite(.timeLimit(.minutes(10)))
struct SubscriptionGrantTests {
  /// What the node's clock shows.
  private final class Clock: Sendable {
    private let time = Mutex(WallTime(timestamp: "2026-01-01T00:00:00.000000Z")!)
    var now: WallTime {
      get { time.withLock { $0 } }
      set { time.withLock { $0 = newValue } }
    }
  }

  private let clock = Clock()
  let tenancy: TestTenancy
  private let uri = TestTenancy.protocolURI

  init() async throws {
    tenancy = try TestTenancy(nodeTime: { [clock] in clock.now })
    let reply = try await tenancy.install(#"{"box": {}}"#)
    #expect(reply.status.code == 202)
  }

  private func subscribe(_ body: MessageBody) async throws -> Subscriber {
    let message = tenancy.bob.signer.message(body, at: tenancy.tick())
    let (reply, source) = try await tenancy.node.subscribe(tenant: tenancy.alice.did, message: message.message.value)
    guard let source else { throw TestTenancy.Unexpected(text: "\(reply.status)") }
    return Subscriber(reply: reply, source: source)
  }

  private func records(_ grant: HeldGrant) -> MessageBody {
    .recordsSubscribe(RecordsSubscribe(RecordsFilter(protocolURI: uri), permissionGrantID: grant.id))
  }

  @Test("a subscription by a grant is told what the grant covers, until the grant is revoked")
  func revoked() async throws {
    let grant = try await tenancy.grant(.records("Read"), to: tenancy.bob)
    let follower = try await subscribe(records(grant))
    _ = try await tenancy.write(tenancy.alice, "box", data: "1")
    #expect(try await follower.next() == "1")
    #expect(try await tenancy.store(tenancy.revocation(of: grant)) == "202")
    clock.now = tenancy.tick()
    _ = try await tenancy.write(tenancy.alice, "box", data: "2")
    #expect(try await follower.next(2) == ["error RecordsSubscribeDeliveryAuthorizationFailed", "end"])
  }

  @Test("a subscription ends with the time of its grant, though it began before")
  func expired() async throws {
    let end = tenancy.tick() + .seconds(60)
    let grant = try await tenancy.grant(.records("Read"), to: tenancy.bob, expires: end)
    let follower = try await subscribe(records(grant))
    _ = try await tenancy.write(tenancy.alice, "box", data: "1")
    #expect(try await follower.next() == "1")
    clock.now = end
    _ = try await tenancy.write(tenancy.alice, "box", data: "2")
    #expect(try await follower.next(2) == ["error RecordsSubscribeDeliveryAuthorizationFailed", "end"])
  }

  @Test("a grant for the feed of one protocol tells what is there without its data, and nothing of others")
  func feed() async throws {
    let grant = try await tenancy.grant(PermissionScope(.messages, "Read", protocolURI: uri), to: tenancy.bob)
    let ids: Set<RecordID> = [grant.id]
    let filters = [MessagesFilter(protocolURI: uri)]
    let follower = try await subscribe(.messagesSubscribe(MessagesSubscribe(filters, permissionGrantIDs: ids)))
    await #expect(throws: TestTenancy.Unexpected.self) {
      _ = try await subscribe(.messagesSubscribe(MessagesSubscribe(permissionGrantIDs: ids)))
    }
    let box = try await tenancy.write(tenancy.alice, "box", data: "1")
    let event = try await follower.event()
    #expect(event.entry.message == box.message.value && event.entry.data == nil)

    func ask(_ body: MessageBody) async throws -> Reply {
      try await tenancy.send(tenancy.bob.signer.message(body, at: tenancy.tick()))
    }
    let page = try await ask(.messagesQuery(MessagesQuery(filters, permissionGrantIDs: ids)))
    let entries = try #require(page.members["entries"]?.array)
    #expect(entries.contains { $0["messageCid"] == .string(box.cid.text) })
    #expect(entries.allSatisfy { $0["encodedData"] == nil && $0["message"] != nil })
    // The grant is about the protocol, too.
    #expect(entries.contains { $0["messageCid"] == .string(grant.write.cid.text) })
    let read = try await ask(.messagesRead(MessagesRead(box.cid, permissionGrantIDs: ids)))
    #expect(read.status.code == 200 && read.data == Array("1".utf8))
    let nothing = try await ask(.messagesRead(MessagesRead(CID(of: "nothing"), permissionGrantIDs: ids)))
    #expect(nothing.status.code == 404)

    #expect(try await tenancy.store(tenancy.revocation(of: grant)) == "202")
    clock.now = tenancy.tick()
    _ = try await tenancy.write(tenancy.alice, "box", data: "2")
    var last = try await follower.next()
    // The revocation is about the protocol, too, and may be told before it is in force.
    if last == "" { last = try await follower.next() }
    #expect(last == "error MessagesSubscribeDeliveryAuthorizationFailed")
  }
}
