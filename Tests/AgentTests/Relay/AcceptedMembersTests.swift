import Cryptography
import Synchronization
import Testing
import Wire

@testable import Agent

@Suite("who may use a daemon's relay")
struct AcceptedMembersTests {
  private func key() -> X25519PublicKey { X25519PrivateKey(random: SystemRandom()).publicKey }

  @Test("nobody before there is an accepted state, then its members and nobody else")
  func members() async {
    let members = AcceptedMembers(patience: .milliseconds(1))
    let (friend, stranger) = (key(), key())
    #expect(await !members.admits(friend, namesRelay: true))
    members.replace(with: RelayMembers([friend], nameRelay: true))
    #expect(await members.admits(friend, namesRelay: true))
    #expect(await !members.admits(stranger, namesRelay: true))
    #expect(members.stillAdmits(friend, namesRelay: true) && !members.stillAdmits(friend, namesRelay: false))
    members.replace(with: RelayMembers([], nameRelay: true))
    #expect(!members.stillAdmits(friend, namesRelay: true))
    #expect(await !members.admits(friend, namesRelay: true))
  }

  @Test("an unknown key waits for the records, and is admitted when they have it")
  func late() async {
    let members = AcceptedMembers(patience: .seconds(600))
    let friend = key()
    async let isAdmitted = members.admits(friend, namesRelay: true)
    var requests = members.unknown.makeAsyncIterator()
    await requests.next()
    members.replace(with: RelayMembers([key()], nameRelay: true))
    members.replace(with: RelayMembers([friend], nameRelay: true))
    #expect(await isAdmitted)
  }

  @Test("where all run meshd, whoever does not name the relay is none of them, and no records are asked for")
  func namesNone() async {
    let members = AcceptedMembers(patience: .seconds(600))
    let friend = key()
    members.replace(with: RelayMembers([friend], nameRelay: true))
    #expect(await !members.admits(friend, namesRelay: false))
    #expect(await !members.admits(key(), namesRelay: false))
    members.replace(with: RelayMembers([friend], nameRelay: false))
    #expect(await members.admits(friend, namesRelay: false))
  }

  @Test("who came before there was an accepted state is judged by it")
  func early() async {
    let members = AcceptedMembers(patience: .seconds(600))
    let friend = key()
    async let isAdmitted = members.admits(friend, namesRelay: false)
    var requests = members.unknown.makeAsyncIterator()
    await requests.next()
    members.replace(with: RelayMembers([friend], nameRelay: true))
    #expect(await !isAdmitted)
  }

  /// What is counted, and what time it is.
  private final class Watch: Sendable {
    let asked = Mutex(0)
    let time = Mutex(Instant(nanoseconds: 1_000_000_000_000))

    func pass(_ duration: Duration) { time.withLock { $0 = $0 + duration } }

    /// Until as many were counted, or half a minute has passed.
    func settled(_ count: Int) async throws -> Bool {
      for _ in 0..<3000 where asked.withLock({ $0 }) < count { try await Task.sleep(for: .milliseconds(10)) }
      return asked.withLock { $0 } == count
    }
  }

  private func comeMany(to members: AcceptedMembers) async {
    await withTaskGroup(of: Void.self) { group in
      for key in (0..<20).map({ _ in key() }) { group.addTask { _ = await members.admits(key, namesRelay: true) } }
    }
  }

  @Test("however many strangers come, the records are asked for once in two seconds")
  func singleFlight() async throws {
    let watch = Watch()
    let members = AcceptedMembers(patience: .milliseconds(1)) { watch.time.withLock { $0 } }
    let counting = Task {
      for await _ in members.unknown { watch.asked.withLock { $0 += 1 } }
    }
    await comeMany(to: members)
    #expect(try await watch.settled(1))
    watch.pass(.milliseconds(1999))
    await comeMany(to: members)
    #expect(try await watch.settled(1))
    watch.pass(.milliseconds(1))
    await comeMany(to: members)
    #expect(try await watch.settled(2))
    counting.cancel()
  }
}
