import DWN
import DWNNode
import Mesh
import TestSupport
import Testing
import Wire

@testable import Agent

@Suite("mesh.sqlite")
struct SQLiteMeshStoreTests {
  @Test("gives back what its transactions mean, also after it was opened again", arguments: 0..<8)
  func model(run: Int) async throws {
    let random = SeededRandom(UInt64(run) &* 7919 &+ 1)
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    var store = try SQLiteMeshStore(directory)
    var model = StoredMesh()
    var changes = RandomChanges(random: random)
    for step in 0..<40 {
      let change = changes.next()
      try await store.commit(change)
      model.apply(change)
      if step % 10 == 9 {
        try store.close()
        store = try SQLiteMeshStore(directory)
      }
      let loaded = try await store.load()
      #expect(Normalized(loaded) == Normalized(model), "seed \(random.seed), step \(step)")
    }
    try store.close()
  }

  @Test("a file that is no database is named and left alone")
  func damaged() throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    let text = Array(String(repeating: "not a database ", count: 100).utf8)
    try directory.write(SQLiteMeshStore.file, text)
    #expect {
      _ = try SQLiteMeshStore(directory)
    } throws: {
      "\($0)".contains("mesh.sqlite")
    }
    #expect(try directory.read(SQLiteMeshStore.file) == text)
  }

  /// What order means nothing is sorted.
  private struct Normalized: Equatable {
    let mesh: StoredMesh

    init(_ mesh: StoredMesh) {
      var mesh = mesh
      mesh.publications.sort { ($0.element, $0.endpoint) < ($1.element, $1.endpoint) }
      mesh.foreign.sort { $0.element < $1.element }
      for (network, var stored) in mesh.networks {
        stored.messages.sort { $0.element < $1.element }
        mesh.networks[network] = stored == StoredNetwork() ? nil : stored
      }
      self.mesh = mesh
    }
  }

  /// Transactions over few names, so that they meet.
  private struct RandomChanges {
    let random: SeededRandom
    var order: Int64 = 0

    mutating func next() -> StoreChange {
      var change = StoreChange()
      for _ in 0..<pick(3) {
        order += 1
        var message: StoredMessage? = message
        let element = name(40)
        message?.element = element
        change.authored.append(
          StoredAuthored(
            order: order, element: element, stamp: WallTime(microseconds: order),
            network: pick(4) == 0 ? nil : network, message: pick(3) == 0 ? nil : message))
      }
      change.authored = Dictionary(change.authored.map { ($0.element, $0) }) { _, new in new }.values.sorted {
        $0.order < $1.order
      }
      for _ in 0..<pick(3) {
        let states: [PublicationState] = [.pending, .done, .refused(status: 400, detail: "no: a reason")]
        change.publications.append(
          StoredPublication(element: name(6), endpoint: "http://\(name(2))", state: states[pick(3)]))
      }
      for _ in 0..<pick(2) { change.foreign.append(message) }
      var verified = VerifiedChange()
      for _ in 0..<pick(4) { verified.kept.append(message) }
      verified.kept = Array(Dictionary(verified.kept.map { ($0.element, $0) }) { _, new in new }.values)
      for _ in 0..<pick(2) {
        let element = name(10)
        if !verified.kept.contains(where: { $0.element == element }) { verified.dropped.append(element) }
      }
      if pick(2) == 0 { verified.ended[RecordID(name(5))!] = WallTime(microseconds: Int64(pick(1000))) }
      if pick(4) == 0, let gone = RecordID(name(5)), verified.ended[gone] == nil { verified.forgotten.append(gone) }
      if pick(3) == 0 {
        verified.accepted = StoredAcceptance(head: name(5), acceptedAt: WallTime(microseconds: Int64(pick(1000))))
      }
      if pick(3) == 0 {
        let place = SubscriptionPlace(endpoint: name(2), topic: name(3))
        let token = ProgressToken(streamID: "s", epoch: name(2), position: FeedPosition(UInt64(pick(1000))))
        verified.cursors[place] = token
      }
      change.verified[network] = verified
      return change
    }

    private var network: NetworkID { NetworkID("network\(pick(2))")! }

    private var message: StoredMessage {
      StoredMessage(
        element: name(10), json: random.bytes(pick(20)), data: pick(3) == 0 ? nil : random.bytes(pick(20)))
    }

    private func name(_ count: Int) -> String { "e\(pick(count))" }
    private func pick(_ count: Int) -> Int { Int(random.uniform(below: UInt64(count))) }
  }
}
