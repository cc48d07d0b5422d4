public import Identity
public import Wire

/// `network/node` and `network/member/node`: a machine of the mesh. The record's recipient is the machine's DID.
public struct NodeRecord: MeshPayload, Hashable {
  public static let schema = RecordSchema.node

  /// IPv4. The address counts, not the one that could be computed from the DID.
  public var meshIP: IPAddress
  public var addedAt: WallTime
  /// The name that the anchor gave it.
  public var label: String?
  /// Who owns the machine, if not the machine itself; `ownerDID` goes before `memberDID`, and writers give both.
  public var ownerDID: DID?
  public var memberDID: DID?
  public var delegateDID: DID?
  /// `nil`: never.
  public var expiresAt: WallTime?
  /// Further blocks that are routed to this machine. Those that are not blocks are left out on reading.
  public var allowedIPs: [IPPrefix]
  public var sourceDWN: String?

  public init(
    meshIP: IPAddress, addedAt: WallTime, label: String? = nil, ownerDID: DID? = nil, memberDID: DID? = nil,
    delegateDID: DID? = nil, expiresAt: WallTime? = nil, allowedIPs: [IPPrefix] = [], sourceDWN: String? = nil
  ) {
    self.meshIP = meshIP
    self.addedAt = addedAt
    self.label = label
    self.ownerDID = ownerDID
    self.memberDID = memberDID
    self.delegateDID = delegateDID
    self.expiresAt = expiresAt
    self.allowedIPs = allowedIPs
    self.sourceDWN = sourceDWN
  }

  /// Whoever owns the machine, as far as the record names somebody.
  public var owner: DID? { ownerDID ?? memberDID }

  public func hasExpired(at now: WallTime) -> Bool { expiresAt.map { $0 <= now } ?? false }

  public init(_ members: JSONObject) throws(MeshError) {
    let reader = PayloadReader(members, of: Self.schema)
    guard let meshIP = try reader.address("meshIP", .v4) else { throw reader.wrong("meshIP", "an IPv4 address") }
    self.meshIP = meshIP
    addedAt = try reader.requiredTime("addedAt")
    label = try reader.label("label")
    ownerDID = try reader.did("ownerDID")
    memberDID = try reader.did("memberDID")
    delegateDID = try reader.did("delegateDID")
    expiresAt = try reader.time("expiresAt")
    allowedIPs = try reader.texts("allowedIPs").compactMap { IPPrefix($0) }
    sourceDWN = try reader.label("sourceDWN")
  }

  public var json: JSONValue {
    var object: JSONObject = ["meshIP": .string(meshIP.description), "addedAt": .string(addedAt.rfc3339)]
    object["label"] = label.map { .string($0) }
    object["ownerDID"] = ownerDID.map { .string($0.text) }
    object["memberDID"] = memberDID.map { .string($0.text) }
    object["delegateDID"] = delegateDID.map { .string($0.text) }
    object["expiresAt"] = expiresAt.map { .string($0.rfc3339) }
    object.set("allowedIPs", unlessEmpty: allowedIPs.map(\.description))
    object["sourceDWN"] = sourceDWN.map { .string($0) }
    return .object(object)
  }
}
