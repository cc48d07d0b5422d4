import DWN
import Identity

/// How far everything that this device signed has come on its way to each endpoint. What is not acknowledged is published again,
/// also after a restart.
public struct Outbox: Sendable {
  private var states: [String: [String: PublicationState]] = [:]

  /// In the place of an endpoint: what one of them has taken once, and did not show later.
  private static let formerly = ""

  public init(stored: [StoredPublication] = []) {
    for publication in stored { states[publication.endpoint, default: [:]][publication.element] = publication.state }
  }

  public func state(of element: String, at endpoint: String) -> PublicationState {
    states[endpoint]?[element] ?? .pending
  }

  /// Whether any endpoint has taken it, also one on which the records lie no more, or that does not show it any more.
  public func isDone(_ element: String) -> Bool { states.values.contains { $0[element] == .done } }

  /// What an endpoint has, by elements.
  public func done(at endpoint: String) -> Set<String> {
    Set((states[endpoint] ?? [:]).lazy.filter { $0.value == .done }.map(\.key))
  }

  /// What is to be sent to an endpoint now, in this order, and not past the first that fails.
  ///
  /// A head comes after everything that it covers, and not at all where something that it covers was refused: not until the record is
  /// ended that was. Of heads with nothing
  /// between them only the last is sent. `network`: only what concerns this one, of definitions those
  /// that it needs.
  public func due(in ledger: Ledger, to endpoint: String, of network: NetworkReference? = nil) -> [AuthoredMessage] {
    let known = states[endpoint] ?? [:]
    var due: [AuthoredMessage] = []
    var blockers: [NetworkID?: Set<String>] = [:]
    let outgoing = ledger.outgoing
    var doneHeads: [NetworkID?: Int64] = [:]
    for message in outgoing where message.isHead && known[message.element] == .done {
      doneHeads[message.network] = message.order
    }
    for message in outgoing {
      if let network {
        guard message.network.map({ $0 == network.id }) ?? network.needsDefinitions(of: ledger.identity.did) else {
          continue
        }
      }
      if let ended = message.endedRecord { blockers[message.network]?.remove(ended.text) }
      switch known[message.element] ?? .pending {
      case .done: continue
      case .refused:
        if message.isCovered {
          blockers[message.network, default: []].insert(message.write?.recordID.text ?? message.element)
        }
        continue
      case .pending: break
      }
      if message.isHead {
        if let done = doneHeads[message.network], done > message.order { continue }
        if blockers[message.network]?.isEmpty == false || blockers[nil]?.isEmpty == false { continue }
        if let last = due.last, last.isHead, last.network == message.network { due.removeLast() }
      }
      due.append(message)
    }
    return due
  }

  /// Notes an outcome. What it returns has to be committed.
  public mutating func note(_ state: PublicationState, of message: AuthoredMessage, at endpoint: String) -> StoreChange
  {
    var change = StoreChange()
    guard self.state(of: message.element, at: endpoint) != state else { return change }
    states[endpoint, default: [:]][message.element] = state
    change.publications = [StoredPublication(element: message.element, endpoint: endpoint, state: state)]
    return change
  }

  /// Messages that are not kept any more are not published any more. Refusals of them can still be told.
  public mutating func forget(_ gone: Set<String>) {
    for endpoint in states.keys {
      for element in gone {
        if case .refused? = states[endpoint]?[element] { continue }
        states[endpoint]?[element] = nil
      }
    }
  }

  /// Publishes these again at one endpoint: it lost them, or shows what they should have ended.
  public mutating func reopen(_ messages: [AuthoredMessage], at endpoint: String) -> StoreChange {
    var change = StoreChange()
    for message in messages {
      if state(of: message.element, at: endpoint) == .done {
        change.merge(note(.done, of: message, at: Self.formerly))
      }
      change.merge(note(.pending, of: message, at: endpoint))
    }
    return change
  }

  /// What a head covers and an endpoint refused for good: no head goes there any more.
  public func obstacles(in ledger: Ledger, at endpoint: String, of network: NetworkID) -> [AuthoredMessage] {
    refused(in: ledger, by: RefusalQuorum([endpoint]), of: network).filter { message in
      message.isCovered && !(message.write.map { ledger.hasEnded($0.contextID) } ?? false)
    }
  }
}
