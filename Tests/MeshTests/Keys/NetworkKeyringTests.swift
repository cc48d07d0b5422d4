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

  @Test("a stored keyring comes back with the same keys")
  func stored() throws {
    let epochs = try [0, 3, 8].map(SampleNetwork.epoch)
    let keyring = try network.machineKeyring(epochs[2], earlier: epochs)
    let read = try #require(NetworkKeyring(network: network.reference.id, stored: keyring.stored()))
    #expect(read.epochs == keyring.epochs)
    for epoch in epochs { #expect(read.key(of: epoch)?.bytes == keyring.key(of: epoch)?.bytes) }
    #expect(read.key(of: try SampleNetwork.epoch(4)) == nil)
  }

  @Test("an empty keyring can be stored too")
  func empty() throws {
    let keyring = NetworkKeyring(network: network.reference.id)
    #expect(try #require(NetworkKeyring(network: keyring.network, stored: keyring.stored())).epochs.isEmpty)
  }

  @Test(
    "what was not stored by a keyring is not read",
    arguments: [
      "", "{}", "[]", #"{"keys":{}}"#, #"{"keys":[{}]}"#, #"{"keys":[{"epoch":0}]}"#,
      #"{"keys":[{"epoch":0,"d":"AA"}]}"#,
      #"{"keys":[{"epoch":-1,"d":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#,
    ])
  func notStored(text: String) {
    #expect(NetworkKeyring(network: network.reference.id, stored: Array(text.utf8)) == nil)
  }

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
