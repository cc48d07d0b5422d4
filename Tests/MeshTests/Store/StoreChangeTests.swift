import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@Suite("Mesh store")
struct StoreChangeTests {
  @Test("several decisions committed at once leave what they leave one by one", arguments: [1, 2, 3] as [UInt64])
  func merging(seed: UInt64) throws {
    var history = try LedgerHistory(seed: seed, members: 2)
    for _ in 0..<12 { try history.step() }
    var reader = MeshReader(network: history.network, identity: history.anchor)
    var single = StoredMesh()
    var merged = StoredMesh()
    var batch = StoreChange()
    for message in history.messages {
      let change = reader.offer([message], at: Instant(nanoseconds: 1), wall: history.wall).store
      single.apply(change)
      batch.merge(change)
      if history.random.uniform(below: 4) == 0 {
        merged.apply(batch)
        batch = StoreChange()
      }
    }
    merged.apply(batch)
    let (one, other) = (single.networks[history.id], merged.networks[history.id])
    #expect(one.map { Set($0.messages) } == other.map { Set($0.messages) }, "seed \(seed)")
    #expect(one?.ended == other?.ended)
    #expect(one?.accepted == other?.accepted)
    #expect(one?.messages.count == one.map { Set($0.messages.map(\.element)).count })
  }

  @Test("what is stored of a network is what its view rests on, and no key in clear")
  func content() throws {
    var history = try LedgerHistory(seed: 4, members: 1)
    for _ in 0..<8 { try history.step() }
    let machine = history.machines[0]
    var reader = MeshReader(network: history.network, identity: machine)
    var stored = StoredMesh()
    stored.apply(reader.offer(history.messages, at: Instant(nanoseconds: 1), wall: history.wall).store)
    let network = try #require(stored.networks[history.id])
    let set = try #require(reader.acceptedSet)
    #expect(set.elements.isSubset(of: Set(network.messages.map(\.element))))
    let again = MeshReader(network: history.network, identity: machine, stored: network)
    #expect(again.view(at: history.wall) == reader.view(at: history.wall))
    #expect((again.cipher as? JWERecordCipher)?.epoch == (reader.cipher as? JWERecordCipher)?.epoch)
    #expect(again.cipher != nil)
    // The messages alone, with another identity, open nothing.
    let stranger = MachineIdentity.generate(random: history.random)
    let blind = MeshReader(network: history.network, identity: stranger, stored: network)
    #expect(blind.cipher == nil)
  }
}
