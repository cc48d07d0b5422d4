/// Who has a say in whether a message is refused for good everywhere, and so is taken out of the ledger again (`trust.md` section 1).
public struct RefusalQuorum: Hashable, Sendable {
  /// The names of all endpoints that are published to.
  public var endpoints: [String]
  /// Those of them that have answered nothing for long: they have no say in what they have not taken. What one of them has taken stands,
  /// since it may be in force for those who read there.
  public var silent: Set<String>

  public init(_ endpoints: [String], silent: Set<String> = []) {
    self.endpoints = endpoints
    self.silent = silent
  }
}

extension Outbox {
  /// What everybody who has a say refused for good; nothing where nobody has.
  public func refused(in ledger: Ledger, by quorum: RefusalQuorum, of network: NetworkID) -> [AuthoredMessage] {
    ledger.outgoing.filter { ($0.network ?? network) == network && refusal(of: $0, by: quorum) != nil }
  }

  /// Who refused a message for good that everybody refused who has a say, and in which words. `nil`: somebody has taken it, or may yet.
  public func refusal(
    of message: AuthoredMessage, by quorum: RefusalQuorum
  ) -> (endpoint: String, status: Int, detail: String)? {
    var first: (endpoint: String, status: Int, detail: String)?
    for endpoint in quorum.endpoints {
      let isSilent = quorum.silent.contains(endpoint)
      switch state(of: message.element, at: endpoint) {
      case .done: return nil
      case .pending where isSilent: continue
      case .pending: return nil
      case .refused where isSilent: continue
      case .refused(let status, let detail): first = first ?? (endpoint, status, detail)
      }
    }
    return first
  }
}
