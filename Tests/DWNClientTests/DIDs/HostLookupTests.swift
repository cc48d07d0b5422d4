import Foundation
import Identity
import NIOCore
import NIOPosix
import Synchronization
import Testing
import Wire

@testable import DWNClient

@Suite("Looking up names whose servers may be silent", .timeLimit(.minutes(10)))
struct HostLookupTests {
  private static let address = IPAddress("192.0.2.7")!

  /// Knows `good.` names at once, `silent.` ones when it is told to, and no others.
  private final class Resolver: Sendable {
    private let state = Mutex((waiting: 0, isOpen: false))

    /// Threads that it keeps.
    var waiting: Int { state.withLock { $0.waiting } }

    func open() { state.withLock { $0.isOpen = true } }

    func addresses(of host: String) -> [IPAddress] {
      if host.hasPrefix("silent.") {
        state.withLock { $0.waiting += 1 }
        while !state.withLock({ $0.isOpen }) { Thread.sleep(forTimeInterval: 0.002) }
        state.withLock { $0.waiting -= 1 }
      }
      return host.hasPrefix("good.") || host.hasPrefix("silent.") ? [HostLookupTests.address] : []
    }
  }

  /// Four threads, of which one who asks has two, and a site one.
  private func with(_ resolver: Resolver, _ body: (_ lookup: HostLookup) async throws -> Void) async throws {
    let threads = NIOThreadPool(numberOfThreads: 4)
    threads.start()
    do {
      try await body(.waiting(on: threads, count: 4, for: resolver.addresses))
    } catch {
      Issue.record(error)
    }
    resolver.open()
    try await threads.shutdownGracefully()
  }

  private func ask(
    _ lookup: HostLookup, _ host: String, for network: UInt128, patience: TimeAmount = .minutes(9)
  ) async throws -> [IPAddress] {
    try await DocumentAsker.$network.withValue(network) { try await lookup.addresses(host, .now() + patience) }
  }

  @Test("a name has addresses or is not known, and an address is its own")
  func names() async throws {
    try await with(Resolver()) { lookup in
      let known = try await ask(lookup, "good.example", for: 1)
      #expect(known == [Self.address])
      let literal = try await ask(lookup, "192.0.2.9", for: 1)
      #expect(literal == [IPAddress("192.0.2.9")!])
      await #expect(throws: FetchFailure("its name bad.example is not known")) {
        try await ask(lookup, "bad.example", for: 1)
      }
    }
  }

  @Test(
    "a silent name keeps a thread of who asked for it, also when he was told that it was not found, and of nobody else")
  func askers() async throws {
    let resolver = Resolver()
    try await with(resolver) { lookup in
      // How often depends on how busy the machine is: who has no thread in time is told that nobody was asked.
      var asked = 0
      while resolver.waiting < 2 {
        asked += 1
        await #expect(throws: FetchFailure.self) {
          try await ask(lookup, "silent.site\(asked)", for: 1, patience: .milliseconds(100))
        }
      }
      await #expect(throws: FetchFailure.busy) {
        try await ask(lookup, "good.example", for: 1, patience: .milliseconds(100))
      }
      let other = try await ask(lookup, "good.example", for: 2)
      #expect(other == [Self.address])
      #expect(resolver.waiting == 2)
      resolver.open()
      let own = try await ask(lookup, "good.example", for: 1)
      #expect(own == [Self.address])
    }
  }

  @Test("the hosts of one site have a thread together, whoever asks for them")
  func sites() async throws {
    let resolver = Resolver()
    try await with(resolver) { lookup in
      let first = Task { try await ask(lookup, "silent.a.example", for: 1) }
      while resolver.waiting < 1 { try await Task.sleep(for: .milliseconds(2)) }
      await #expect(throws: FetchFailure.busy) {
        try await ask(lookup, "good.a.example", for: 2, patience: .milliseconds(100))
      }
      let elsewhere = try await ask(lookup, "good.b.example", for: 2)
      #expect(elsewhere == [Self.address])
      resolver.open()
      let found = try await first.value
      #expect(found == [Self.address])
    }
  }
}
