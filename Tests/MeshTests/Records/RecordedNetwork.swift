import Cryptography
import DWN
import Identity
import Mesh
import TestSupport
import Testing
import Wire

/// The network of `mesh-records.json`: identities, epochs and complete signed messages that other programs computed.
struct RecordedNetwork {
  static let path = "mesh/mesh-records.json"
  static let isAtHand = Fixtures.have(path)

  struct Record {
    let name: String
    let write: RecordsWrite
    let data: [UInt8]
    let plaintext: String?
    /// `epoch N`, `anchor type key`, `NAME DID key`.
    let readers: [String]
  }

  let json: JSONValue
  let reference: NetworkReference
  let anchor: MachineIdentity

  init() throws {
    json = try Fixtures.json(Self.path)
    anchor = try Self.identity("anchor", in: json)
    let id = try #require(json["networkId"]?.string.flatMap { NetworkID($0) })
    reference = NetworkReference(id: id, anchor: anchor.did)
  }

  func identity(_ name: String) throws -> MachineIdentity { try Self.identity(name, in: json) }

  private static func identity(_ name: String, in json: JSONValue) throws -> MachineIdentity {
    let entry = try #require(json["identities"]?.array?.first { $0["name"]?.string == name })
    let seed = try #require(entry["seedHex"]?.string.flatMap { Hex.decode($0) })
    return try #require(MachineIdentity(seed: SecretBytes(seed)))
  }

  /// The definition of a configure message, and who signed it.
  func definition(_ name: String) throws -> SignedMessage {
    let entry = try #require(json["messages"]?.array?.first { $0["name"]?.string == name })
    return try SignedMessage(checking: Message(try #require(entry["message"])), resolver: OfflineResolver())
  }

  /// Every write of `messages`, with its data.
  func records() throws -> [Record] {
    try entries("messages").compactMap { try record($0) }
  }

  func record(_ name: String, in list: String = "messages") throws -> Record {
    let entry = try #require(entries(list).first { $0["name"]?.string == name })
    return try #require(try record(entry))
  }

  private func entries(_ list: String) -> [JSONValue] { json[list]?.array ?? [] }

  /// `nil` for what is not a write with its data.
  private func record(_ entry: JSONValue) throws -> Record? {
    guard let message = entry["message"], message["descriptor"]?["method"] == "Write",
      let data = entry["body_b64u"]?.string.flatMap({ Base64.decode($0) })
    else { return nil }
    return Record(
      name: entry["name"]?.string ?? "",
      write: try RecordsWrite(SignedMessage(checking: Message(message), resolver: OfflineResolver())), data: data,
      plaintext: entry["plaintext"]?.string, readers: entry["readers"]?.array?.compactMap(\.string) ?? [])
  }

  /// What this member has after these deliveries.
  func keyring(of name: String, after deliveries: String...) throws -> NetworkKeyring {
    let identity = try identity(name)
    var keyring = NetworkKeyring(reference, of: identity)
    for delivery in deliveries {
      let record = try record(delivery)
      _ = keyring.merge(try KeyDelivery.open(record.write, data: record.data, for: reference, as: identity))
    }
    return keyring
  }

  func cipher(of name: String, keyring: NetworkKeyring? = nil, epoch: KeyEpoch = .first) throws -> JWERecordCipher {
    let identity = try identity(name)
    return JWERecordCipher(
      network: reference, identity: identity, keyring: keyring ?? NetworkKeyring(reference, of: identity), epoch: epoch,
      definition: try MeshDefinition(definition("mesh definition")))
  }
}
