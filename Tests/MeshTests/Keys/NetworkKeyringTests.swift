import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

@Suite("Keyrings")
struct NetworkKeyringTests {
  let network = SampleNetwork()

  @Test("the oldest epochs are forgotten beyond the capacity")
  func capacity() throws {
    var keyring = NetworkKeyring(network.reference, of: network.machine)
    let epochs = try (0..<100).map(SampleNetwork.epoch)
    for epoch in epochs { _ = keyring.merge(try network.delivery(epoch, earlier: epochs)) }
    #expect(keyring.epochs.count == NetworkKeyring.capacity)
    #expect(keyring.epochs.first == epochs.last)
  }

  @Test("a delivery of another network changes nothing, and neither does one to the anchor")
  func elsewhere() throws {
    var other = NetworkKeyring(network: try #require(NetworkID("bafyother")))
    let otherChanged = other.merge(try network.delivery(.first))
    #expect(!otherChanged)
    #expect(other.epochs.isEmpty)
    var anchor = network.anchorKeyring
    let anchorChanged = anchor.merge(try network.delivery(.first))
    #expect(!anchorChanged)
  }

  @Test("the anchor has the key of every epoch, also of very many")
  func anchor() throws {
    let keyring = network.anchorKeyring
    for number in 0..<200 {
      let epoch = try SampleNetwork.epoch(Int64(number))
      #expect(
        keyring.key(of: epoch)?.bytes
          == KeyTree(network.anchor).networkKey(network.reference.id.recordID, epoch: epoch).bytes)
    }
  }
}
