import DWN
import Identity
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// Many who follow, slow ones among them, while much is written (dwn-server 12.3).
@Suite(.timeLimit(.minutes(10)))
struct ManySubscribersTests {
  private func tenancy(_ limits: NodeLimits = NodeLimits()) async throws -> TestTenancy {
    let tenancy = try TestTenancy(limits: limits)
    let reply = try await tenancy.install(#"{"box": {"$actions": [{"who": "anyone", "can": ["create", "read"]}]}}"#)
    #expect(reply.status.code == 202)
    return tenancy
  }

  @Test("of 1,200 subscribers those are told whom a message concerns, and nobody else")
  func many() async throws {
    let tenancy = try await tenancy()
    var filter = RecordsFilter(protocolURI: TestTenancy.protocolURI)
    var followers: [Subscriber] = []
    for number in 0..<1200 {
      filter.tags = number < 200 ? [:] : ["for": .equals(.integer(Int64(number)))]
      followers.append(try await tenancy.subscribe(tenancy.alice, filter))
    }
    #expect(tenancy.node.subscriptions(of: tenancy.alice.did) == 1200)
    for number in [700, 1199] {
      _ = try await tenancy.write(tenancy.alice, "box", tags: ["for": .integer(Int64(number))], data: "\(number)")
    }
    #expect(try await followers[700].next() == "700")
    #expect(try await followers[1199].next() == "1199")
    for follower in followers[..<200] { #expect(try await follower.next(2) == ["700", "1199"]) }
    for (number, follower) in followers.enumerated() where number >= 200 && number != 700 && number != 1199 {
      #expect((follower.source as? NodeSubscription)?.waiting == 0)
    }
    for follower in followers { follower.source.close() }
    #expect(tenancy.node.subscriptions(of: tenancy.alice.did) == 0)
  }

  @Test("who stops reading holds one window of frames, and who does not acknowledge is dropped")
  func slow() async throws {
    var limits = NodeLimits()
    limits.acknowledgementPatience = .milliseconds(50)
    let tenancy = try await tenancy(limits)
    let slow = try await tenancy.subscribe(tenancy.alice)
    let quick = try await tenancy.subscribe(tenancy.alice)
    for number in 0..<100 {
      _ = try await tenancy.write(tenancy.alice, "box", data: "\(number)")
      let event = try await quick.event()
      quick.source.acknowledge(event.cursor)
    }
    #expect((slow.source as? NodeSubscription)?.waiting == SubscriptionProgress.window)
    #expect(try await slow.next(32) == (0..<32).map { "\($0)" })
    #expect(try await slow.next(2) == ["error RecordsSubscribeDeliveryFailed", "end"])
    #expect(tenancy.node.subscriptions(of: tenancy.alice.did) == 1)
  }

  @Test("who reads and does not acknowledge is dropped while more is written, too")
  func silent() async throws {
    var limits = NodeLimits()
    limits.acknowledgementPatience = .milliseconds(100)
    let tenancy = try await tenancy(limits)
    let silent = try await tenancy.subscribe(tenancy.alice)
    let writer = Task {
      var count = 0
      while !Task.isCancelled, count < 3000 {
        _ = try await tenancy.write(tenancy.alice, "box", data: "\(count)")
        count += 1
      }
      return count
    }
    #expect(try await silent.next(32) == (0..<32).map { "\($0)" })
    #expect(try await silent.next(2) == ["error RecordsSubscribeDeliveryFailed", "end"])
    writer.cancel()
    #expect(try await writer.value < 3000)
  }

  @Test("a message is made into an event once, however many fell behind and look for it themselves")
  func behind() async throws {
    let tenancy = try await tenancy()
    var followers: [Subscriber] = []
    for _ in 0..<40 { followers.append(try await tenancy.subscribe(tenancy.alice)) }
    for number in 0..<100 { _ = try await tenancy.write(tenancy.alice, "box", data: "\(number)") }
    for follower in followers {
      for number in 0..<100 {
        let event = try await follower.event()
        #expect(event.entry.data == Array("\(number)".utf8))
        if number % 16 == 15 { follower.source.acknowledge(event.cursor) }
      }
    }
    #expect(tenancy.node.hub.recent.made == 100)
  }

  @Test("others than the tenant have so many subscriptions and no more, whatever is left for the tenant")
  func quota() async throws {
    var limits = NodeLimits()
    limits.subscriptionsByOthers = 3
    let tenancy = try await tenancy(limits)
    let filter = RecordsFilter(protocolURI: TestTenancy.protocolURI)
    var others: [Subscriber] = []
    for person in [tenancy.bob, tenancy.bob, tenancy.carol] { others.append(try await tenancy.subscribe(person)) }
    let refused = try await tenancy.attemptSubscribe(tenancy.carol, filter)
    #expect(refused.reply.status.code == 429 && refused.frames == nil)
    let own = try await tenancy.subscribe(tenancy.alice)
    others[0].source.close()
    let next = try await tenancy.subscribe(tenancy.carol)
    _ = try await tenancy.write(tenancy.alice, "box", published: true, data: "1")
    for follower in [own, next, others[1], others[2]] { #expect(try await follower.next() == "1") }
    for follower in [own, next, others[1], others[2]] { follower.source.close() }
    #expect(tenancy.node.subscriptions(of: tenancy.alice.did) == 0)
  }

  @Test("strangers, whoever they are, leave room to those who claim a right, and no author takes all of it")
  func rights() async throws {
    var limits = NodeLimits()
    limits.subscriptionsWithoutRight = 3
    limits.subscriptionsByAuthor = 2
    let tenancy = try TestTenancy(limits: limits)
    let reply = try await tenancy.install(
      #"{"box": {"member": {"$role": true}, "note": {"$actions": [{"role": "box/member", "can": ["read"]}]}}}"#)
    #expect(reply.status.code == 202)
    let box = try await tenancy.write(tenancy.alice, "box")
    _ = try await tenancy.write(tenancy.alice, "box/member", below: box, to: tenancy.carol)
    let everything = RecordsFilter(protocolURI: TestTenancy.protocolURI)
    func status(_ reader: Person) async throws -> Int {
      try await tenancy.attemptSubscribe(reader, everything).reply.status.code
    }
    var held = [try await tenancy.subscribe(tenancy.bob), try await tenancy.subscribe(tenancy.bob)]
    #expect(try await status(tenancy.bob) == 429)
    held.append(try await tenancy.subscribe(tenancy.carol))
    #expect(try await status(tenancy.carol) == 429)
    let notes = RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "box/note", contextID: box.contextID)
    held.append(try await tenancy.subscribe(tenancy.carol, notes, role: "box/member"))
    #expect(try await tenancy.attemptSubscribe(tenancy.carol, notes, role: "box/member").reply.status.code == 429)
    for follower in held { follower.source.close() }
    #expect(try await status(tenancy.bob) == 200)

    var fat = everything
    for number in 0..<10 { fat.tags["t\(number)"] = .equals(.string(String(repeating: "x", count: 2_000))) }
    #expect(try await tenancy.attemptSubscribe(tenancy.bob, fat).reply.status.code == 400)
    #expect(try await tenancy.attemptSubscribe(tenancy.alice, fat).reply.status.code == 200)
  }

  @Test(
    "strangers of one network, and of one site, leave room to those of others, and take none from who claims a right")
  func networks() async throws {
    var limits = NodeLimits()
    limits.subscriptionsWithoutRight = 64
    let tenancy = try await tenancy(limits)
    var held: [any SubscriptionSource] = []
    func follow(from address: String, role: ProtocolPath? = nil) async throws -> Int {
      let person = Person("follower \(held.count)")
      let filter = RecordsFilter(protocolURI: TestTenancy.protocolURI, path: "box")
      let message = person.signer.recordsSubscribe(filter, at: tenancy.tick(), role: role).message.value
      let (reply, frames) = try await tenancy.node.subscribe(
        tenant: tenancy.alice.did, message: message, from: Caller(IPAddress(address)))
      if let frames { held.append(frames) }
      return reply.status.code
    }
    var codes: [Int] = []
    for address in ["192.0.2.1", "192.0.2.1", "192.0.2.1", "198.51.100.1", "2001:db8::1", "2001:db8::2", "2001:db8::3"]
    {
      codes.append(try await follow(from: address))
    }
    #expect(codes == [200, 200, 429, 200, 200, 200, 429])
    codes = []
    for network in 2...6 { for _ in 0..<2 { codes.append(try await follow(from: "192.0.2.\(network)")) } }
    #expect(codes == Array(repeating: 200, count: 6) + Array(repeating: 429, count: 4), "the site has its eighth")
    #expect(try await follow(from: "192.0.2.1", role: "box") != 429, "whether rightly is judged, and not counted")
    held[0].close()
    #expect(try await follow(from: "192.0.2.1") == 200)
  }

  @Test("the records that a subscription begins with end, with a cursor, where they become many")
  func snapshot() async throws {
    var limits = NodeLimits()
    limits.largestSnapshot = 5000
    let tenancy = try await tenancy(limits)
    for number in 0..<10 { _ = try await tenancy.write(tenancy.alice, "box", data: "\(number)") }
    let follower = try await tenancy.subscribe(tenancy.alice)
    #expect((1..<10).contains(follower.reply.entries.count))
    #expect(follower.reply.members["cursor"] != nil)
    #expect(try await tenancy.query(tenancy.alice, RecordsFilter(protocolURI: TestTenancy.protocolURI)).count == 10)
  }

  @Test("a subscription that nobody holds any more costs nothing")
  func abandoned() async throws {
    let tenancy = try await tenancy()
    do {
      let follower = try await tenancy.subscribe(tenancy.alice)
      #expect(follower.reply.status.isSuccess && tenancy.node.subscriptions(of: tenancy.alice.did) == 1)
    }
    #expect(tenancy.node.subscriptions(of: tenancy.alice.did) == 0)
  }

  @Test("what found no room when it came is looked up again, and each is told what concerns it", arguments: [1, 3])
  func readAgain(room: Int) async throws {
    var limits = NodeLimits()
    limits.eventsWaiting = room
    let tenancy = try await tenancy(limits)
    let writers = 8
    let each = 20
    var followers: [Subscriber] = []
    for writer in 0..<writers {
      for filter in [["of": .equals(.integer(Int64(writer)))], [:]] as [[String: RecordsFilter.TagFilter]] {
        followers.append(
          try await tenancy.subscribe(tenancy.alice, RecordsFilter(protocolURI: TestTenancy.protocolURI, tags: filter)))
      }
    }
    let written = try await withThrowingTaskGroup(of: RecordsWrite.self) { group in
      for writer in 0..<writers {
        group.addTask {
          for number in 0..<each - 1 {
            _ = try await tenancy.write(
              tenancy.alice, "box", tags: ["of": .integer(Int64(writer))], data: "\(writer)-\(number)")
          }
          return try await tenancy.write(
            tenancy.alice, "box", tags: ["of": .integer(Int64(writer))], data: "\(writer)-\(each - 1)")
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    var positions = Array(repeating: [FeedPosition](), count: followers.count)
    for (number, follower) in followers.enumerated() {
      let followed = number % 2 == 0 ? number / 2...number / 2 : 0...writers - 1
      var seen: [String] = []
      for _ in 0..<each * followed.count {
        let event = try await follower.event()
        follower.source.acknowledge(event.cursor)
        positions[number].append(event.cursor.position)
        seen.append(String(decoding: event.entry.data ?? [], as: UTF8.self))
      }
      for writer in 0..<writers {
        let expected = followed.contains(writer) ? (0..<each).map { "\(writer)-\($0)" } : []
        #expect(seen.filter { $0.hasPrefix("\(writer)-") } == expected)
      }
    }
    #expect(tenancy.node.hub.searches.load(ordering: .relaxed) == 0)

    try await withThrowingTaskGroup(of: String.self) { group in
      for write in written {
        let delete = tenancy.alice.signer.recordsDelete(write.recordID, prune: false, at: tenancy.tick())
        group.addTask { try await tenancy.status(delete) }
      }
      for try await status in group { #expect(status == "202") }
    }
    for (number, follower) in followers.enumerated() {
      for _ in 0..<(number % 2 == 0 ? 1 : writers) {
        let event = try await follower.event()
        follower.source.acknowledge(event.cursor)
        positions[number].append(event.cursor.position)
        #expect(event.entry.message["descriptor"]?["method"] == "Delete")
      }
      #expect(zip(positions[number], positions[number].dropFirst()).allSatisfy(<))
    }
  }

  @Test(
    "while many write at once, everybody is told everything once and in order, whenever they began",
    arguments: [1, 1024])
  func storm(room: Int) async throws {
    var limits = NodeLimits()
    limits.eventsWaiting = room
    // Who begins at the end is shown all that there is.
    limits.largestSnapshot = limits.largestReply
    let tenancy = try await tenancy(limits)
    let writers = 4
    let each = 60
    let seed = UInt64.random(in: .min ... .max)
    let beginning = try await tenancy.beginning
    try await withThrowingTaskGroup(of: Void.self) { group in
      for writer in 0..<writers {
        group.addTask {
          for number in 0..<each { _ = try await tenancy.write(tenancy.alice, "box", data: "\(writer)-\(number)") }
          _ = try await tenancy.write(tenancy.alice, "box", data: "last")
        }
      }
      for reader in 0..<12 {
        group.addTask {
          let random = SeededRandom(seed &+ UInt64(reader))
          let follower = try await tenancy.subscribe(tenancy.alice, cursor: reader % 3 == 0 ? beginning : nil)
          try #require(follower.reply.members["cursor"] == nil)
          var seen = follower.reply.entries.map { String(decoding: $0.data ?? [], as: UTF8.self) }
          var last: FeedPosition?
          var unacknowledged = 0
          while seen.count(where: { $0 == "last" }) < writers {
            guard let frame = try await follower.source.next(), let cursor = frame.cursor else {
              throw TestTenancy.Unexpected(text: "ended")
            }
            unacknowledged += 1
            if unacknowledged == 32 || random.uniform(below: 8) == 0 {
              follower.source.acknowledge(cursor)
              unacknowledged = 0
            }
            guard case .event(let event) = frame else { continue }
            #expect(last.map { $0 < cursor.position } ?? true)
            last = cursor.position
            seen.append(String(decoding: event.entry.data ?? [], as: UTF8.self))
          }
          #expect(seen.count == writers * (each + 1), "seed \(seed)")
          #expect(Set(seen).count == writers * each + 1, "seed \(seed)")
          // The order of one writer is everybody's.
          for writer in 0..<writers where !follower.reply.members.contains("entries") {
            let order = seen.filter { $0.hasPrefix("\(writer)-") }
            #expect(order == (0..<each).map { "\(writer)-\($0)" }, "seed \(seed)")
          }
        }
      }
      // Some come and go meanwhile.
      group.addTask {
        for _ in 0..<80 {
          let follower = try await tenancy.subscribe(tenancy.alice)
          let waiting = Task { try? await follower.source.next() }
          if Bool.random() { follower.source.close() } else { waiting.cancel() }
          _ = await waiting.value
        }
      }
      try await group.waitForAll()
    }
  }
}
