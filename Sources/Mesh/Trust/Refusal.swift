public import DWN
public import Identity
import Wire

/// Why a record that a node showed was left out (`trust.md` section 2). It changed nothing.
public enum RefusalReason: Hashable, Sendable, CustomStringConvertible {
  /// Form, CIDs or signature: the text of `DWN`.
  case malformed(DWNError)
  /// A kind of message, a protocol or a path that is no part of a mesh.
  case notOfTheMesh
  /// More than 64 KiB of message, or deeper than `Message.maximumDepth`.
  case beyondBounds
  case dataTooLarge(bytes: Int, limit: Int)
  case dataMismatch
  case wrongSchema
  case wrongFormat
  case published
  case roleInSignature
  case wrongPlace
  case notTheAuthor(Authority.Writer)
  case onlyOwnerEnds
  /// The grant by which a delegate signed it does not cover it.
  case grantRefused(DWNError)
  case grantRevoked
  case onlyOwnerConfigures
  case onlyOwnerDelivers
  /// A later write without its initial write.
  case initialWriteMissing
  case initialWriteInvalid
  case immutableMember(String)
  case olderThanSlot
  /// Its delete, or that of a record above it, was seen.
  case ended
  /// The accepted head is newer and does not cover it.
  case notInHead
  case headNotRising
  /// Two heads with one `seq` and different content.
  case equivocation
  case headMalformed(String)
  /// The initial write of the network does not commit to the envelope that this network is read with.
  case otherEnvelope(Envelope)
  /// The network committed to this envelope, the definition declares another.
  case envelopeChanged(Envelope)
  case definitionUnusable(String)
  case keyInClear
  case audienceEncrypted
  case controlRecordUpdated
  case keyUnusable(String)
  case tooManyRecords

  /// Whether it was good once.
  var isAge: Bool {
    switch self {
    case .olderThanSlot, .ended, .notInHead, .headNotRising: true
    default: false
    }
  }

  public var description: String {
    switch self {
    case .malformed(let error): error.description
    case .notOfTheMesh: "it is not a record of this mesh"
    case .beyondBounds: "the message is larger than 64 KiB or nested deeper than \(Message.maximumDepth) levels"
    case .dataTooLarge(let bytes, let limit):
      "its data has \(bytes) bytes, more than the \(limit) that its path may have"
    case .dataMismatch: "its data is not what the signed dataCid and dataSize promise"
    case .wrongSchema: "its schema is not that of its path"
    case .wrongFormat: "its dataFormat is not application/json"
    case .published: "it is published, which no record of a mesh is"
    case .roleInSignature: "it invokes a role, which no record of its path does"
    case .wrongPlace: "it does not stand where its path belongs in this network"
    case .notTheAuthor(.owner): "only the anchor may write it"
    case .notTheAuthor(.recipientOfParent): "only the recipient of the node record above may write it"
    case .notTheAuthor(.nobody): "nothing is taken from this path"
    case .grantRefused(let error): error.description
    case .grantRevoked: "the grant by which a delegate signed it was revoked before"
    case .onlyOwnerEnds: "only the anchor may end it"
    case .onlyOwnerConfigures: "only the tenant configures its protocols"
    case .onlyOwnerDelivers: "keys come from the anchor alone"
    case .initialWriteMissing: "it is an update without its initial write"
    case .initialWriteInvalid: "what came as its initial write is not"
    case .immutableMember(let name): "it changes \(name), which is immutable"
    case .olderThanSlot: "something newer was seen in its place"
    case .ended: "its delete was seen"
    case .notInHead: "the anchor's newer head does not cover it"
    case .headNotRising: "a head must have a higher seq and a later time than the one before"
    case .equivocation: "the anchor signed two different heads with this seq"
    case .headMalformed(let reason): "the head cannot be read: \(reason)"
    case .otherEnvelope(let envelope):
      "the network's initial write does not commit to the envelope \(envelope.rawValue), with which this machine joined it"
    case .envelopeChanged(let envelope):
      "the network id commits to the envelope \(envelope.rawValue), and this definition declares another"
    case .definitionUnusable(let reason): reason
    case .keyInClear: "a network key in clear text is refused"
    case .audienceEncrypted: "an audience record is in clear, and this one is encrypted"
    case .controlRecordUpdated: "records of audiences and their keys are never updated"
    case .keyUnusable(let reason): "the delivered key cannot be used: \(reason)"
    case .tooManyRecords: "the network has more than \(MeshReader.recordLimit) live records"
    }
  }
}

/// One kind of refusal and how often it happened.
public struct Refusal: Hashable, Sendable {
  /// As the message spells them, shortened; nothing in them was verified.
  public var recordID: String?
  public var path: String?
  public var author: String?
  public var reason: RefusalReason
  public var count: Int

  /// Whether a node showed what this author, who knows better, has written anew since. Such a node was away, and is sent what it lacks.
  public func isBehind(_ author: DID) -> Bool { reason == .olderThanSlot && self.author == author.text }
}

/// What was refused so far: bounded, and each kind of refusal once.
public struct RefusalLog: Sendable {
  /// Different refusals that are kept apart; those beyond are only counted.
  public static let capacity = 256

  private struct Key: Hashable {
    let recordID: String?
    let path: String?
    let author: String?
    let reason: RefusalReason
  }

  private var places: [Key: Int] = [:]
  /// In the order of first appearance.
  public private(set) var refusals: [Refusal] = []
  /// Refusals that found no place in the list.
  public private(set) var uncounted = 0

  init() {}

  /// Notes one; returns it when it is the first of its kind, to be logged.
  mutating func note(_ message: JSONValue, _ reason: RefusalReason) -> Refusal? {
    let key = Key(
      recordID: Self.bounded(message["recordId"] ?? message["descriptor"]?["recordId"]),
      path: Self.bounded(message["descriptor"]?["protocolPath"]), author: Self.claimedAuthor(message), reason: reason)
    if let place = places[key] {
      refusals[place].count += 1
      return nil
    }
    guard refusals.count < Self.capacity else {
      uncounted += 1
      return nil
    }
    let refusal = Refusal(recordID: key.recordID, path: key.path, author: key.author, reason: reason, count: 1)
    places[key] = refusals.count
    refusals.append(refusal)
    return refusal
  }

  private static func bounded(_ value: JSONValue?) -> String? {
    value?.string.map { String($0.prefix(256)) }
  }

  /// Whom the `kid` names: a claim.
  private static func claimedAuthor(_ message: JSONValue) -> String? {
    guard let protected = message["authorization"]?["signature"]?["signatures"]?.array?.first?["protected"]?.string,
      protected.utf8.count <= 4096, let bytes = Base64.decode(protected),
      let kid = (try? JSONValue(parsing: bytes, depth: 4))?["kid"]?.string
    else { return nil }
    return String(kid.prefix { $0 != "#" }.prefix(256))
  }
}
