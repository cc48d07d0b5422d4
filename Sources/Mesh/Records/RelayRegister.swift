/// What one relay record claims. Which relay has which id is the `RelayRegister`'s to say.
public enum RelayClaim: Hashable, Sendable {
  /// The record names the id.
  case numbered(RelayRecord)
  /// The record's place is the id, also if the relay cannot be used.
  case placed(RelayNameRecord)
}

/// The relays of a network by id, put together from its records in order of their age.
struct RelayRegister: Sendable {
  private var byID: [UInt16: RelayRecord] = [:]
  /// How many records have their place for an id.
  private(set) var places: UInt16 = 0

  /// Why a record that counts gives no relay.
  enum Unused: Error, Hashable, CustomStringConvertible {
    case older(id: UInt16)
    case noName(String)
    case full

    var description: String {
      switch self {
      case .older(let id): "an older relay has the id \(id)"
      case .noName(let url): "\"\(url)\" is not a DNS name, which is all that it may be with encryption v1"
      case .full: "the network has more relays than there are ids"
      }
    }
  }

  /// Sorted by id.
  var relays: [RelayRecord] { byID.values.sorted { $0.id < $1.id } }

  @discardableResult
  mutating func add(_ claim: RelayClaim) throws(Unused) -> RelayRecord {
    let relay: RelayRecord
    switch claim {
    case .numbered(let record): relay = record
    case .placed(let record):
      guard places < .max else { throw .full }
      places += 1
      guard let plan = record.plan else { throw .noName(record.url) }
      relay = RelayRecord(id: places, plan)
    }
    guard byID[relay.id] == nil else { throw .older(id: relay.id) }
    byID[relay.id] = relay
    return relay
  }
}
