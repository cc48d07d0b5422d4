import DWN
public import Identity
public import Mesh

/// Holds this device's ledger and outbox over their store: every decision is durable before anybody sees it, and decisions are
/// taken one after the other. The daemon has one; a command has one while no daemon runs.
public actor LedgerKeeper {
  /// What was committed last. What is under way is not in it.
  public private(set) var ledger: Ledger

  let commits: CommitQueue
  private var outbox: Outbox
  private var last: Task<Void, Never>?
  private var listeners: [@Sendable (LedgerChange) async -> Void] = []

  /// Throws `LedgerError.corrupt`.
  public init(identity: MachineIdentity, store: any MeshStore, stored: StoredMesh) throws(LedgerError) {
    ledger = try Ledger(identity: identity, stored: stored)
    outbox = Outbox(stored: stored.publications)
    commits = CommitQueue(store)
  }

  // MARK: - Decisions

  /// Takes a decision: `command` signs, the change is committed, and then it is the ledger's. When `command` throws or the commit
  /// fails, nothing has happened.
  public func perform<Result: Sendable>(
    _ command: @escaping @Sendable (inout Ledger) throws -> (Result, LedgerChange)
  ) async throws -> Result {
    try await inTurn {
      var next = await self.ledger
      let (result, change) = try command(&next)
      try await self.commits.commit(change.store)
      await self.replace(next, after: change.store, telling: change)
      return result
    }
  }

  /// As above, for a decision that says nothing but its change.
  @discardableResult
  public func perform(
    _ command: @escaping @Sendable (inout Ledger) throws -> LedgerChange
  ) async throws -> LedgerChange {
    try await perform { ledger in
      let change = try command(&ledger)
      return (change, change)
    }
  }

  /// Compares what a node shows of an own network with the ledger, and opens again what has to be published there once more.
  ///
  /// From the moment on that a message of this identity is found which the ledger does not hold, every decision throws
  /// `LedgerError.foreignWriter`.
  ///
  /// `before`: what the endpoint had when the look at it began. What came since may not have been shown, and is not taken for lacking.
  func audit(
    _ entries: [ReplyEntry], of network: NetworkID, complete paths: Set<ProtocolPath>, includesDefinitions: Bool,
    at endpoint: String, since before: Set<String>? = nil
  ) async throws -> LedgerAudit {
    var audit = try await inTurn {
      var next = await self.ledger
      let audit = next.audit(entries, of: network, complete: paths, includesDefinitions: includesDefinitions)
      try await self.commits.commit(audit.store)
      await self.replace(next, after: audit.store)
      return audit
    }
    if let before {
      let news = outbox.done(at: endpoint).subtracting(before)
      // A first write is published again for what builds upon it.
      let records = Set(audit.lacking.lazy.filter { news.contains($0.element) }.compactMap(\.write?.recordID))
      audit.lacking.removeAll { news.contains($0.element) || $0.write.map { records.contains($0.recordID) } ?? false }
      audit.repeated.removeAll { news.contains($0.element) }
    }
    await reopen(audit.repeated + audit.lacking, at: endpoint)
    return audit
  }

  /// Is told of every change after it was committed, in order. It must not wait for a decision.
  func listen(_ listener: @escaping @Sendable (LedgerChange) async -> Void) {
    listeners.append(listener)
  }

  private func replace(_ next: Ledger, after stored: StoreChange, telling change: LedgerChange? = nil) async {
    ledger = next
    outbox.forget(Set(stored.authored.filter { $0.message == nil }.map(\.element)))
    guard let change, !change.isEmpty else { return }
    for listener in listeners { await listener(change) }
  }

  /// Runs one body after the other, in the order of the calls.
  private func inTurn<Result: Sendable>(
    _ body: @escaping @Sendable () async throws -> Result
  ) async throws -> Result {
    let previous = last
    let task = Task {
      await previous?.value
      return try await body()
    }
    last = Task { _ = await task.result }
    return try await task.value
  }

  // MARK: - Publication

  /// What has to be sent to an endpoint, in this order, and not past the first that fails.
  func due(to endpoint: String, of network: NetworkReference) -> [AuthoredMessage] {
    outbox.due(in: ledger, to: endpoint, of: network)
  }

  /// Whether an endpoint has everything that this device signed for a network, so that others can read and accept it there.
  func hasEverything(of network: NetworkReference, at endpoint: String) -> Bool {
    lacking(at: endpoint, of: network).isEmpty
  }

  /// Why no head goes to an endpoint any more: what it refused for good, although others may take it.
  func obstacle(at endpoint: String, of network: NetworkID) -> PublicationRefused? {
    outbox.obstacles(in: ledger, at: endpoint, of: network).first.flatMap {
      refusal(of: $0, by: RefusalQuorum([endpoint]), isWithdrawn: false)
    }
  }

  /// The same where each endpoint that is not silent has such an obstacle: one of them. `nil`: there is none, or one may take everything.
  func obstacle(to quorum: RefusalQuorum, of network: NetworkID) -> PublicationRefused? {
    var obstacles: [AuthoredMessage] = []
    for endpoint in quorum.endpoints where !quorum.silent.contains(endpoint) {
      guard let obstacle = outbox.obstacles(in: ledger, at: endpoint, of: network).first else { return nil }
      obstacles.append(obstacle)
    }
    guard let message = obstacles.first else { return nil }
    let answering = quorum.endpoints.filter { !quorum.silent.contains($0) }
    var refusal = refusal(of: message, by: RefusalQuorum(Array(answering.prefix(1))), isWithdrawn: false)
    refusal?.outcome = .waits(
      silent: quorum.endpoints.filter(quorum.silent.contains),
      isTakenBack: message.canBeWithdrawn && !outbox.isDone(message.element)
        && outbox.refusal(of: message, by: quorum) != nil)
    return refusal
  }

  /// What an endpoint does not have, whether it is to be sent to it or was refused there.
  func lacking(at endpoint: String, of network: NetworkReference) -> [AuthoredMessage] {
    outbox.due(in: ledger, to: endpoint, of: network) + outbox.obstacles(in: ledger, at: endpoint, of: network.id)
  }

  /// What an endpoint refused of this machine's own, on which no head waits.
  func refusedOwn(at endpoint: String, of network: NetworkID) -> [AuthoredMessage] {
    outbox.refused(in: ledger, by: RefusalQuorum([endpoint]), of: network).filter { !$0.isCovered }
  }

  /// What of the live set everybody refused for good who has a say, and nobody has ever taken.
  func refusedEverywhere(of network: NetworkID, by quorum: RefusalQuorum) -> [AuthoredMessage] {
    outbox.refused(in: ledger, by: quorum, of: network).filter { $0.canBeWithdrawn && !outbox.isDone($0.element) }
  }

  /// What came of a change that everybody refused for good who has a say, or a part of it, once that has had its consequences.
  func refusal(of change: LedgerChange, by quorum: RefusalQuorum) -> PublicationRefused? {
    let standing = Set(ledger.outgoing.map(\.element))
    for message in change.messages {
      let stands = standing.contains(message.element)
      if stands, message.canBeWithdrawn, !outbox.isDone(message.element) { continue }
      if let refusal = refusal(of: message, by: quorum, isWithdrawn: !stands) { return refusal }
    }
    return nil
  }

  private func refusal(
    of message: AuthoredMessage, by quorum: RefusalQuorum, isWithdrawn: Bool
  ) -> PublicationRefused? {
    outbox.refusal(of: message, by: quorum).map { endpoint, status, detail in
      PublicationRefused(
        endpoint: endpoint, path: message.place, status: status, detail: detail,
        outcome: isWithdrawn ? .withdrawn : .stands)
    }
  }

  func done(at endpoint: String) -> Set<String> { outbox.done(at: endpoint) }

  func state(of message: AuthoredMessage, at endpoint: String) -> PublicationState {
    outbox.state(of: message.element, at: endpoint)
  }

  func note(_ state: PublicationState, of message: AuthoredMessage, at endpoint: String) async {
    await keep(outbox.note(state, of: message, at: endpoint))
  }

  func reopen(_ messages: [AuthoredMessage], at endpoint: String) async {
    await keep(outbox.reopen(messages, at: endpoint))
  }

  /// What is not saved of this is done again after a restart, and does no harm.
  private func keep(_ change: StoreChange) async {
    try? await commits.commit(change)
  }
}
