import Cryptography
public import DWN
public import Identity
public import Wire

/// `network/nodeRequest`: a machine that was invited asks to be admitted (`mesh-protocol.md` sections 5.9 and 6). In clear, and worth
/// nothing but its proofs: that the machine has its DID's key, and that it has the invitation's secret.
public struct JoinRequest: Sendable {
  public let network: NetworkReference
  public let networkName: String?
  public let token: Invite.Token
  public let identity: MachineIdentity
  /// The name that is proposed for the machine.
  public let label: String
  public let requestedAt: WallTime

  public init(
    network: NetworkReference, networkName: String?, token: Invite.Token, identity: MachineIdentity, label: String,
    requestedAt: WallTime
  ) {
    self.network = network
    self.networkName = networkName
    self.token = token
    self.identity = identity
    self.label = label
    self.requestedAt = requestedAt
  }

  /// Ready to be signed by the machine.
  public var draft: RecordDraft {
    RecordDraft(
      protocolURI: MeshProtocol.uri, path: MeshProtocol.nodeRequest, parent: network.id.contextID,
      schema: MeshProtocol.schema(of: MeshProtocol.nodeRequest), data: json.encoded)
  }

  public var json: JSONValue {
    let did = JSONValue.string(identity.did.text)
    var object: JSONObject = [
      "nodeDID": did, "memberDID": did, "ownerDID": did, "requestedBy": did, "nodeProof": .string(nodeProof),
      "requestKind": "network-preauth", "networkRecordId": .string(network.id.text),
    ]
    object["networkName"] = networkName.map { .string($0) }
    object["label"] = .string(label)
    object["preAuthKeyId"] = .string(token.id)
    object["preAuthProof"] = .string(preAuthProof)
    object["requestedAt"] = .string(WallTime(seconds: requestedAt.microseconds / 1_000_000).rfc3339)
    object["roleKeys"] = .object(
      JSONObject(
        [MeshProtocol.member, MeshProtocol.memberNode, MeshProtocol.node].map { role in
          let key = KeyTree(identity).typeKey(protocolURI: MeshProtocol.uri, path: role).publicKey
          return (role.text, PublicJWK.x25519(key).json)
        }))
    return .object(object)
  }

  /// Ed25519 over the statement that this machine joins with this invitation, owned by itself.
  private var nodeProof: String {
    let statement =
      "meshd node join v1\nnetwork=\(network.id)\nnode=\(identity.did)\nmember=\(identity.did)\npreauth=\(token.id)\n"
    return Base64.encode(identity.signingKey.sign(Array(statement.utf8)))
  }

  /// The key is the secret's text, not what it may be the base64url of.
  private var preAuthProof: String {
    let message = Array("\(network.id)\n\(identity.did)".utf8)
    return "hmac-sha256:" + Base64.encode(SHA2.hmac256(key: Array(token.secret.utf8), message))
  }
}
