import DWN
import Foundation
import Identity
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// What every `MessageStore` promises. A store that passes these, and agrees with the model, can stand behind a node.
@Suite(.timeLimit(.minutes(10)))
struct StoreContractTests {
  typealias Samples = SampleMessages

  struct Refusal: Error {}

  /// What an observer heard.
  final class Told: Sendable {
    private let heard = Mutex<[DID: [StoredMessage]]>([:])

    func add(_ entries: [StoredMessage], of tenant: DID) { heard.withLock { $0[tenant, default: []] += entries } }
    func entries(of tenant: DID) -> [StoredMessage] { heard.withLock { $0[tenant] ?? [] } }
  }

  /// Runs a test in a home that is removed afterwards.
  private func home(_ kind: StoreHome.Kind, _ body: (StoreHome) async throws -> Void) async throws {
    let home = try StoreHome(kind)
    defer { home.remove() }
    try await body(home)
  }

  @discardableResult
  private func insert(_ store: any MessageStore, _ message: StoredMessage, _ data: [UInt8]? = [0x7b, 0x7d]) async throws
    -> Int64
  { try await store.write(Samples.alice) { try $0.insert(message, data: data) } }

  private func cids(_ store: any MessageStore, _ tenant: DID = Samples.alice) async throws -> [String] {
    try await store.read(tenant) { try $0.feed(FeedSpan(after: 0, through: $0.head(), limit: .max)).map(\.cid) }
  }

  @Test("a write sees what was written before it, and what it did itself", arguments: StoreHome.Kind.allCases)
  func order(kind: StoreHome.Kind) async throws {
    try await home(kind) { home in
      let store = try home.open()
      try await insert(store, Samples.write("a"))
      let seen = try await store.write(Samples.alice) { transaction in
        try transaction.insert(Samples.write("b"), data: [1])
        return try ["a", "b"].map { try transaction.messages(of: RecordID($0)!).count }
      }
      #expect(seen == [1, 1])
      await store.close()
    }
  }

  @Test("a write takes effect as a whole or not at all, its positions included", arguments: StoreHome.Kind.allCases)
  func atomic(kind: StoreHome.Kind) async throws {
    try await home(kind) { home in
      let store = try home.open()
      try await insert(store, Samples.write("a", tags: ["x": "y"]))
      await #expect(throws: Refusal.self) {
        try await store.write(Samples.alice) { transaction in
          try transaction.insert(Samples.write("b"), data: [1])
          try transaction.demote(Samples.write("a"))
          try transaction.remove(Samples.write("a"))
          throw Refusal()
        }
      }
      #expect(try await cids(store) == ["cid-a-0"])
      #expect(try await insert(store, Samples.write("c")) == 2)
      let selection = Selection(filter: RecordsFilter(tags: ["x": .equals("y")]), visibility: .all)
      let kept = try await store.read(Samples.alice) { reader in
        try reader.find(selection).map { try reader.data(of: $0) ?? [] }
      }
      #expect(kept == [[0x7b, 0x7d]])
      await store.close()
    }
  }

  @Test("what was written is there when the store is opened again", arguments: StoreHome.Kind.allCases)
  func reopened(kind: StoreHome.Kind) async throws {
    try await home(kind) { home in
      let first = try home.open()
      try await insert(first, Samples.write("a", tags: ["x": "y"], size: 40_000), [UInt8](repeating: 7, count: 40_000))
      try await first.register(TenantRegistration(tenant: Samples.bob, termsHash: "0", registeredAt: Samples.time(1)))
      let later = TenantRegistration(tenant: Samples.bob, termsHash: "1", registeredAt: Samples.time(2))
      try await first.register(later)
      let epoch = first.epoch
      await first.close()

      let second = try home.open()
      #expect(second.epoch == epoch)
      #expect(try await second.registrations() == [later])
      let size = Samples.json(["x": "y"]).utf8.count + 40_000
      #expect(
        try await second.summaries() == [
          TenantSummary(tenant: Samples.alice, usage: StoredUsage(messages: 1, bytes: size), head: 1)
        ])
      #expect(try await second.totals() == StoreTotals(tenants: 1, bytes: size))
      let data = try await second.read(Samples.alice) { reader in
        try reader.message(cid: "cid-a-0").flatMap { try reader.data(of: $0) }
      }
      #expect(data == [UInt8](repeating: 7, count: 40_000))
      await second.close()
    }
  }

  @Test("a read sees one state, no write's half", arguments: StoreHome.Kind.allCases)
  func isolation(kind: StoreHome.Kind) async throws {
    try await home(kind) { home in
      let store = try home.open()
      try await insert(store, Samples.write("a"))
      try await withThrowingTaskGroup { group in
        group.addTask {
          for number in 1...100 {
            try await store.write(Samples.alice) { transaction in
              try transaction.remove(Samples.write("a", time: number - 1))
              try transaction.insert(Samples.write("a", time: number), data: [])
            }
          }
        }
        for _ in 0..<3 {
          group.addTask {
            for _ in 0..<100 {
              let (records, latest, last, head) = try await store.read(Samples.alice) { reader in
                let messages = try reader.messages(of: RecordID("a")!)
                return (
                  messages.count,
                  try reader.find(Selection(filter: RecordsFilter(path: "box"), visibility: .all)).count,
                  messages.first?.position, try reader.head()
                )
              }
              #expect(records == 1)
              #expect(latest == 1)
              #expect(last == head)
            }
          }
        }
        try await group.waitForAll()
      }
      await store.close()
    }
  }

  @Test("positions rise from 1 for each tenant and are never given twice", arguments: StoreHome.Kind.allCases)
  func positions(kind: StoreHome.Kind) async throws {
    try await home(kind) { home in
      let store = try home.open()
      #expect(try await insert(store, Samples.write("a")) == 1)
      #expect(try await insert(store, Samples.write("b")) == 2)
      #expect(try await store.write(Samples.bob) { try $0.insert(Samples.write("a"), data: nil) } == 1)
      // The last position is free, and stays so.
      try await store.write(Samples.alice) { try $0.remove(Samples.write("b")) }
      await store.close()
      let again = try home.open()
      #expect(try await again.read(Samples.alice) { try $0.head() } == 2)
      #expect(try await insert(again, Samples.write("c")) == 3)
      #expect(try await cids(again) == ["cid-a-0", "cid-c-0"])
      await again.close()
    }
  }

  @Test("tenants do not see each other's messages", arguments: StoreHome.Kind.allCases)
  func tenants(kind: StoreHome.Kind) async throws {
    try await home(kind) { home in
      let store = try home.open()
      try await insert(store, Samples.write("a", tags: ["x": "y"]))
      try await store.write(Samples.bob) { transaction in
        try transaction.remove(Samples.write("a"))
        try transaction.demote(Samples.write("a"))
        try transaction.erase(below: ContextID("a")!, includingRecord: true)
      }
      let selection = Selection(filter: RecordsFilter(tags: ["x": .equals("y")]), visibility: .all)
      #expect(try await store.read(Samples.bob) { try $0.find(selection) }.isEmpty)
      #expect(try await store.read(Samples.bob) { try $0.message(cid: "cid-a-0") } == nil)
      #expect(try await store.read(Samples.bob) { try $0.usage() } == StoredUsage(messages: 0, bytes: 0))
      #expect(try await store.read(Samples.alice) { try $0.find(selection) }.count == 1)
      await store.close()
    }
  }

  @Test(
    "who observes is told what was committed, in the order of the feed, before the writer hears of it",
    arguments: StoreHome.Kind.allCases)
  func observer(kind: StoreHome.Kind) async throws {
    try await home(kind) { home in
      let store = try home.open()
      let told = Told()
      store.observe { told.add($1, of: $0) }
      await withTaskGroup { group in
        for number in 0..<60 {
          group.addTask {
            let tenant = Samples.people[number % 2]
            try? await store.write(tenant) { transaction in
              try transaction.insert(Samples.write("r\(number)"), data: [])
              try transaction.insert(Samples.write("s\(number)"), data: [])
              // What is gone again within the same write was never there.
              try transaction.remove(Samples.write("r\(number)"))
              if number % 5 == 0 { throw Refusal() }
            }
            let isTold = told.entries(of: tenant).contains { $0.cid == "cid-s\(number)-0" }
            #expect(isTold == (number % 5 != 0))
          }
        }
      }
      for tenant in [Samples.alice, Samples.bob] {
        let entries = told.entries(of: tenant)
        #expect(entries.map(\.cid) == (try await cids(store, tenant)))
        #expect(zip(entries, entries.dropFirst()).allSatisfy { $0.position < $1.position })
      }
      await store.close()
    }
  }

  @Test("data of any size comes back as it was, and goes with its message", arguments: StoreHome.Kind.allCases)
  func data(kind: StoreHome.Kind) async throws {
    try await home(kind) { home in
      let store = try home.open()
      let sizes = [0, 1, NodeLimits.inlineData, NodeLimits.inlineData + 1, NodeLimits.dataInDatabase]
      for size in sizes {
        let data = [UInt8](repeating: 3, count: size)
        try await insert(store, Samples.write("a\(size)", size: size), data)
        let found = try await store.read(Samples.alice) { try $0.content(of: Samples.write("a\(size)").holdingData) }
        #expect(try found?.bytes() == data)
      }
      try await store.write(Samples.alice) { try $0.demote(Samples.write("a1")) }
      let demoted = try await store.read(Samples.alice) { try $0.message(cid: "cid-a1-0") }
      #expect(demoted?.isLatest == false)
      #expect(demoted?.hasData == false)
      let usage = try await store.read(Samples.alice) { try $0.usage() }
      #expect(usage.bytes == sizes.reduce(0, +) - 1 + sizes.count * Samples.json(nil).utf8.count)
      await store.close()
    }
  }

  @Test(
    "data in a file is there exactly as long as a message names it, and for whoever still reads it",
    arguments: StoreHome.Kind.allCases)
  func files(kind: StoreHome.Kind) async throws {
    try await home(kind) { home in
      let store = try home.open()
      let size = NodeLimits.dataInDatabase + 1
      let data = [UInt8](repeating: 9, count: size)
      func stage() throws -> MessageData {
        let incoming = IncomingData(in: store.dataFolder, limit: size)
        try incoming.append(data)
        return try incoming.finish().content
      }
      // A write that is refused leaves nothing.
      await #expect(throws: Refusal.self) {
        let content = try stage()
        try await store.write(Samples.alice) { transaction in
          try transaction.insert(Samples.write("a", size: size), content: content)
          throw Refusal()
        }
      }
      // Whoever handled it may hold it for a moment longer.
      while !(try store.dataFolder.names()).isEmpty { try await Task.sleep(for: .milliseconds(1)) }
      // Two messages may name one file.
      let content = try stage()
      try await store.write(Samples.alice) { transaction in
        try transaction.insert(Samples.write("a", size: size), content: content)
        try transaction.insert(Samples.write("b", size: size), content: content)
      }
      let held = try await store.read(Samples.alice) { try $0.content(of: Samples.write("b", size: size).holdingData) }
      try await store.write(Samples.alice) { try $0.remove(Samples.write("a")) }
      #expect(try store.dataFolder.names().count == 1)
      await store.close()
      let again = try home.open()
      #expect(try again.dataFolder.names().count == 1)
      try await again.write(Samples.alice) { try $0.demote(Samples.write("b")) }
      try await insert(again, Samples.configure("https://p", time: 1), nil)
      #expect(try again.dataFolder.names().isEmpty)
      #expect(try held?.bytes() == data)
      await again.close()
    }
  }

  @Test("a closed store refuses, and says so", arguments: StoreHome.Kind.allCases)
  func closed(kind: StoreHome.Kind) async throws {
    try await home(kind) { home in
      let store = try home.open()
      try await insert(store, Samples.write("a"))
      await store.close()
      await #expect(throws: (any Error).self) { try await insert(store, Samples.write("b")) }
      let again = try home.open()
      #expect(try await cids(again) == ["cid-a-0"])
      await again.close()
    }
  }

  @Test("two stores have feeds of two epochs", arguments: StoreHome.Kind.allCases)
  func epochs(kind: StoreHome.Kind) async throws {
    try await home(kind) { first in
      try await home(kind) { second in
        let stores = [try first.open(), try second.open()]
        #expect(stores[0].epoch != stores[1].epoch)
        for store in stores { await store.close() }
      }
    }
  }
}
