public import DWN
public import Wire

/// Everything about meshes that survives a restart, as a store gives it back. It holds no secret in clear: network keys are
/// kept inside the encrypted messages that brought them.
public struct StoredMesh: Hashable, Sendable {
  /// Everything this device signed, by rising `order`.
  public var authored: [StoredAuthored]
  public var publications: [StoredPublication]
  /// Messages with this device's signature that it does not know: another writer has its key (`Ledger`).
  public var foreign: [StoredMessage]
  /// What was verified of each network that this device reads.
  public var networks: [NetworkID: StoredNetwork]

  public init(
    authored: [StoredAuthored] = [], publications: [StoredPublication] = [], foreign: [StoredMessage] = [],
    networks: [NetworkID: StoredNetwork] = [:]
  ) {
    self.authored = authored
    self.publications = publications
    self.foreign = foreign
    self.networks = networks
  }
}

/// One message that this device signed. Of those that only matter for recognising them again, the element remains.
public struct StoredAuthored: Hashable, Sendable {
  /// The order of signing, and so of publication; unique, rising.
  public var order: Int64
  /// `SignedMessage.element`; unique.
  public var element: String
  /// `messageTimestamp`
  public var stamp: WallTime
  /// `nil` for a definition, which is of all networks of its tenant.
  public var network: NetworkID?
  /// `nil` when only the element is remembered.
  public var message: StoredMessage?

  public init(order: Int64, element: String, stamp: WallTime, network: NetworkID?, message: StoredMessage?) {
    self.order = order
    self.element = element
    self.stamp = stamp
    self.network = network
    self.message = message
  }
}

/// How far the publication of one message to one endpoint has come. What is not there is `pending`.
public struct StoredPublication: Hashable, Sendable {
  public var element: String
  /// `DWNEndpoint.name`
  public var endpoint: String
  public var state: PublicationState

  public init(element: String, endpoint: String, state: PublicationState) {
    self.element = element
    self.endpoint = endpoint
    self.state = state
  }
}

/// The verified messages that a netmap rests on, and what must not be forgotten about those that are gone.
public struct StoredNetwork: Hashable, Sendable {
  /// In no particular order.
  public var messages: [StoredMessage]
  /// Records whose verified delete was seen, and its stamp.
  public var ended: [RecordID: WallTime]
  public var accepted: StoredAcceptance?
  /// How far each subscription has come.
  public var cursors: [SubscriptionPlace: ProgressToken]

  public init(
    messages: [StoredMessage] = [], ended: [RecordID: WallTime] = [:], accepted: StoredAcceptance? = nil,
    cursors: [SubscriptionPlace: ProgressToken] = [:]
  ) {
    self.messages = messages
    self.ended = ended
    self.accepted = accepted
    self.cursors = cursors
  }
}

/// A subscription to a network's records: at which endpoint, and to what. Every endpoint numbers its events by itself.
public struct SubscriptionPlace: Hashable, Sendable {
  /// `DWNEndpoint.name`
  public var endpoint: String
  /// What it is to, in a spelling of the subscriber's.
  public var topic: String

  public init(endpoint: String, topic: String) {
    self.endpoint = endpoint
    self.topic = topic
  }
}

/// Which head was accepted, and when by this device's clock. The set that it covers follows from the messages kept, and its
/// hash proves it. In a network without heads: since when there is something to believe.
public struct StoredAcceptance: Hashable, Sendable {
  /// Its element; empty in a network without heads.
  public var head: String
  public var acceptedAt: WallTime

  public init(head: String, acceptedAt: WallTime) {
    self.head = head
    self.acceptedAt = acceptedAt
  }
}
