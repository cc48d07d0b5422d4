public import DWN
public import Identity

/// The id of a network: that of its `network` record, the root under which all its other records stand.
public struct NetworkID: Hashable, Sendable, Comparable, CustomStringConvertible {
  public let recordID: RecordID

  public init(_ recordID: RecordID) {
    self.recordID = recordID
  }

  /// `nil` unless the text can be a record id.
  public init?(_ text: some StringProtocol) {
    guard let recordID = RecordID(text) else { return nil }
    self.recordID = recordID
  }

  public var text: String { recordID.text }

  /// The context of the `network` record, and the parent of what stands directly under it.
  public var contextID: ContextID { ContextID(root: recordID) }

  public static func < (a: NetworkID, b: NetworkID) -> Bool { a.recordID < b.recordID }
  public var description: String { text }
}

/// What names a network to somebody who has nothing of it yet: its id, the anchor who signs its records and whose tenant holds
/// them, and the envelope that the id commits to.
public struct NetworkReference: Hashable, Sendable {
  public let id: NetworkID
  public let anchor: DID
  public let envelope: Envelope

  public init(id: NetworkID, anchor: DID, envelope: Envelope = .jwe) {
    self.id = id
    self.anchor = anchor
    self.envelope = envelope
  }

  /// Whether a machine installs the mesh protocol as a tenant of this network's nodes: the anchor, for its records; with encryption v1
  /// members too, since keys are encrypted to them as their own definitions say. A member of another network is no tenant there.
  public func needsDefinitions(of did: DID) -> Bool { anchor == did || envelope == .v1 }

  /// The id of the root of the anchor's record keys, as definitions and deliveries spell it.
  public var rootKeyID: String { anchor.text + "#1" }
}
