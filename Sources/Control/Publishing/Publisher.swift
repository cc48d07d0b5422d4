public import DWN
import Identity
public import Logging
public import Mesh
public import Wire

/// Publishes to one endpoint what this device has signed and the endpoint does not have yet: in order, and not past the first that
/// fails. What a node's answer means is `DeliveryVerdict`'s to say.
public struct Publisher: Sendable {
  let keeper: LedgerKeeper
  let endpoint: any DWNEndpoint
  /// Of all nodes that are published to, this one among them: only what all of them refuse for good who have a say is taken back.
  let quorum: RefusalQuorum
  let network: NetworkReference
  let clock: any ControlClock
  let logger: Logger
  /// Whether this machine may write records of the network. Before it may, its own definitions are published alone.
  let mayWriteRecords: Bool
  /// This machine's node record, where it is no anchor: what it wrote below a former one went with that.
  let ownNode: MeshView.Node?

  public init(
    keeper: LedgerKeeper, endpoint: any DWNEndpoint, quorum: RefusalQuorum, network: NetworkReference,
    clock: any ControlClock,
    logger: Logger, mayWriteRecords: Bool = true, ownNode: MeshView.Node? = nil
  ) {
    self.keeper = keeper
    self.endpoint = endpoint
    self.quorum = quorum
    self.network = network
    self.clock = clock
    self.logger = logger
    self.mayWriteRecords = mayWriteRecords
    self.ownNode = ownNode
  }

  /// How an attempt ended.
  public enum Result: Hashable, Sendable {
    /// The node has everything that it will ever take, and a head that covers it.
    case finished
    /// Something is left, to be tried again no sooner than after this time. The reason is for people.
    case left(reason: String, retryAfter: Duration)
    /// The node shows a record of this machine that it does not know it wrote: it has to be written anew, stamped above that.
    case superseded(AuthoredMessage, above: WallTime)
  }

  /// Sends what is due, until it is done or something stands in the way.
  public func publish() async -> Result {
    // A decision that follows from a refusal makes new messages; there are not many of those.
    for _ in 0..<Self.rounds {
      await withdrawRefused()
      let due = await keeper.due(to: endpoint.name, of: network).filter { mayWriteRecords || $0.network == nil }
      if due.isEmpty {
        let obstacle = await keeper.obstacle(at: endpoint.name, of: network.id)
        return obstacle.map { .left(reason: $0.description, retryAfter: .zero) } ?? .finished
      }
      var isListStale = false
      var held = HeldBack()
      var passedOver: Result?
      var rest = due[...]
      while let first = rest.first {
        guard held.lets(through: first) else {
          held.messages.append(first)
          rest.removeFirst()
          continue
        }
        let sent = await send(held.result == nil ? Self.independent(rest) : [first])
        rest.removeFirst(sent.count)
        // What the others came to is noted, whatever one of them ends.
        var end: Result?
        for (message, step) in sent {
          switch step {
          case .done:
            await keeper.note(.done, of: message, at: endpoint.name)
            if message.endedRecord != nil { held.mayHaveRoom = true }
          case .refused(let status, let detail):
            await keeper.note(.refused(status: status, detail: detail), of: message, at: endpoint.name)
            tell(message, status, detail)
            isListStale = true
          case .waits where held.result != nil && message.isDelivery: held.messages.append(message)
          case .waits(let result):
            if held.result == nil, message.endedRecord == nil {
              held = HeldBack(result: result, messages: [message])
            } else {
              end = end ?? held.result ?? result
            }
          case .passedOver(let result): passedOver = result
          case .stopped(let result): end = end ?? result
          }
        }
        if let end { return end }
        if isListStale || Task.isCancelled { break }
      }
      if let result = held.result, !isListStale, !held.mayHaveRoom { return result }
      if let passedOver, !isListStale { return passedOver }
      if Task.isCancelled { return .left(reason: "it was interrupted", retryAfter: .zero) }
    }
    return .left(reason: "\(endpoint.name) refuses one message after another", retryAfter: .zero)
  }

  private static let rounds = 16
  /// Messages on their way side by side.
  private static let atOnce = 8

  /// What may go side by side next: one message, or keys for several machines, of which none builds upon another.
  private static func independent(_ rest: ArraySlice<AuthoredMessage>) -> [AuthoredMessage] {
    var records: Set<RecordID> = []
    let keys = rest.prefix(atOnce).prefix { message in
      guard message.isDelivery, let record = message.write?.recordID else { return false }
      return records.insert(record).inserted
    }
    return Array(keys.isEmpty ? rest.prefix(1) : keys)
  }

  private enum Step {
    case done
    case refused(status: Int, detail: String)
    /// The node answers, and does not take this one now.
    case waits(Result)
    /// The node does not take this one, on which nothing that follows builds there.
    case passedOver(Result)
    case stopped(Result)
  }

  /// What a node has no room for, and what comes after that. Removals alone go on: they count the moment they are seen (`trust.md` 1), and
  /// make room.
  private struct HeldBack {
    var result: Result?
    var messages: [AuthoredMessage] = []
    /// Something was deleted since.
    var mayHaveRoom = false

    /// A record has to be there before it can be deleted. An old audience ends when the new one is there and delivered (`trust.md` 9).
    func lets(through message: AuthoredMessage) -> Bool {
      guard result != nil else { return true }
      guard let ended = message.endedRecord else { return false }
      return !messages.contains { held in
        guard let write = held.write else { return false }
        return write.path.isControl || write.isInitial && write.recordID == ended
      }
    }
  }

  /// Side by side; what came of each, in their order.
  private func send(_ messages: [AuthoredMessage]) async -> [(AuthoredMessage, Step)] {
    await withTaskGroup(of: (Int, Step).self) { group in
      for (index, message) in messages.enumerated() {
        group.addTask { (index, await send(message)) }
      }
      var steps: [(Int, Step)] = []
      for await step in group { steps.append(step) }
      return steps.sorted { $0.0 < $1.0 }.map { (messages[$0.0], $0.1) }
    }
  }

  private func send(_ message: AuthoredMessage) async -> Step {
    let reply: Reply
    do {
      reply = try await endpoint.process(
        tenant: message.tenant, message: message.signed.message.value, data: message.data)
    } catch {
      if case .rateLimited(_, let after) = error {
        return .stopped(.left(reason: error.description, retryAfter: after))
      }
      let result = Result.left(reason: error.description, retryAfter: .zero)
      if case .refused = error { return .waits(result) }
      return .stopped(result)
    }
    let ledger = await keeper.ledger
    let context = message.write?.contextID ?? message.endedRecord.map { ContextID(root: $0) }
    let verdict = DeliveryVerdict(reply, to: message, hasEnded: context.map { ledger.hasEnded($0) } ?? false)
    switch verdict {
    case .done: return .done
    case .refused(let status, let detail): return .refused(status: status, detail: detail)
    case .again where reply.status.code == 401:
      let result = Result.left(
        reason: EndpointTrouble.reason(
          refusedBy: endpoint.name, reply.status.detail, isOwnTenant: message.tenant == ledger.identity.did),
        retryAfter: .zero)
      // A member's records stand in the anchor's tenant, wherever its own definition lies.
      return message.tenant != network.anchor ? .passedOver(result) : .stopped(result)
    case .again(let detail):
      return .waits(.left(reason: "\(endpoint.name) answered \(detail)", retryAfter: .zero))
    case .lacksBasis where isBelowFormerNode(message): return .done
    case .lacksBasis(let detail):
      if ledger.isAnchor(of: network.id) { await keeper.reopen(ledger.outgoing, at: endpoint.name) }
      return left("\(endpoint.name) lacks what a message builds upon: \(detail)")
    case .compare(let detail): return await compare(message, detail)
    }
  }

  /// The anchor's delete of a node record is in the anchor's ledger alone.
  private func isBelowFormerNode(_ message: AuthoredMessage) -> Bool {
    guard let ownNode, let write = message.write else { return false }
    let isOwn =
      write.path == MeshProtocol.nodeInfo(under: ownNode.path)
      || write.path == MeshProtocol.endpoint(under: ownNode.path)
    return isOwn && write.contextID.parent != ownNode.contextID
  }

  /// The node has something else in this place: what it is decides.
  private func compare(_ message: AuthoredMessage, _ detail: String) async -> Step {
    if message.signed.message.kind == .protocolsConfigure, await !keeper.ledger.isAnchor(of: network.id) {
      // A member's own definition says the same whenever it was signed: its keys follow from its identity.
      return .done
    }
    let shown: [ReplyEntry]
    do throws(NodeQueries.Failure) {
      shown = try await shownInPlace(of: message)
    } catch {
      return left("\(endpoint.name) answered \(detail), and does not show what it has instead")
    }
    let ledger = await keeper.ledger
    switch ConflictVerdict(message, shown: shown, ledger: ledger) {
    case .done: return .done
    case .unexplained: return left("\(endpoint.name) answered \(detail), and shows nothing that explains it")
    case .writeAnew(let above):
      guard ledger.isAnchor(of: network.id) else { return .stopped(.superseded(message, above: above)) }
      let audit = try? await keeper.audit(
        shown, of: network.id, complete: [], includesDefinitions: false, at: endpoint.name)
      if audit?.foreign != nil {
        logger.critical(
          "a message of this identity was found that its ledger does not know: nothing is written any more")
      }
      return left("\(endpoint.name) shows something newer that was signed with this identity elsewhere")
    }
  }

  private func shownInPlace(of message: AuthoredMessage) async throws(NodeQueries.Failure) -> [ReplyEntry] {
    let queries = NodeQueries(
      endpoint: endpoint, network: network, signer: MessageSigner(await keeper.ledger.identity), role: nil,
      time: clock.wallTime())
    if message.signed.message.kind == .protocolsConfigure { return try await queries.definitions(of: nil) }
    guard let record = message.write?.recordID ?? message.endedRecord else { return [] }
    var shown = try await queries.read(record, role: nil).map { [$0] } ?? []
    if let write = message.write, write.squash, let parent = write.contextID.parent {
      shown += try await queries.records(at: write.path, in: parent)
    }
    return shown
  }

  private func tell(_ message: AuthoredMessage, _ status: Int, _ detail: String) {
    logger.error(
      "a message was refused for good",
      metadata: [
        "endpoint": "\(endpoint.name)", "status": "\(status)", "detail": "\(detail)", "path": "\(message.place)",
      ])
  }

  /// What no node will ever take is as if it had not been signed. As long as one may take it, it stands: that others refuse it is their
  /// trouble, and no reason for the mesh to go back.
  private func withdrawRefused() async {
    guard await keeper.ledger.isAnchor(of: network.id) else { return }
    for message in await keeper.refusedEverywhere(of: network.id, by: quorum) {
      let (element, wall) = (message.element, clock.wallTime())
      do {
        try await keeper.perform { try $0.withdraw(element, now: wall) }
      } catch {
        logger.error("it could not be taken out of the ledger", metadata: ["error": "\(error)"])
      }
    }
  }

  private func left(_ reason: String) -> Step { .stopped(.left(reason: reason, retryAfter: .zero)) }
}
