import DWN
import DWNClient
import Logging
import Mesh
import Wire

/// What a control plane does to be told: subscriptions, each opened, read and acknowledged by itself. Whatever is told goes through
/// the same checks as what is shown when asked for.
extension DWNControlPlane {
  /// Opens a subscription and handles what comes, until it ends.
  func follow(_ index: Int, _ topic: LiveTopic) async {
    guard let source = await subscribe(index, topic) else { return }
    defer { source.close() }
    do throws(EndpointError) {
      while let frame = try await source.next() {
        guard await receive(frame, of: topic, from: index, source) else { return }
      }
      lost(topic, at: index, nil)
    } catch {
      lost(topic, at: index, error)
    }
  }

  /// `nil`: it is not open; the line knows when to try again.
  func subscribe(_ index: Int, _ topic: LiveTopic) async -> (any SubscriptionSource)? {
    let cursor = live[index].open(topic)
    let signer = MessageSigner(configuration.identity)
    // What is there already is asked for by queries, which take pages.
    let body = RecordsSubscribe(
      topic.filter(of: network, reader: signer.did), pagination: cursor == nil ? Pagination(limit: 1) : nil,
      cursor: cursor)
    let message = signer.message(
      .recordsSubscribe(body), at: clock.wallTime(), role: isAnchor || !topic.needsRole ? nil : role(at: index))
    let reply: Reply
    let source: (any SubscriptionSource)?
    do {
      (reply, source) = try await endpoints[index].subscribe(tenant: network.anchor, message: message.message.value)
    } catch {
      lost(topic, at: index, error)
      return nil
    }
    let opening = live[index].opened(topic, reply, at: clock.now(), jitter: jitter)
    guard let source, live[index].isWanted, opening == .begun || opening == .resumed else {
      source?.close()
      if case .refused(let reason) = opening {
        logger.info("changes are not told", metadata: ["endpoint": "\(endpoints[index].name)", "reason": "\(reason)"])
      }
      lost(topic, at: index, nil)
      return nil
    }
    sources[.follow(index, topic)] = source
    if topic == live[index].first { wakeFollowing(index) }
    noteFollowing(index)
    return source
  }

  /// Handles one frame; `false` when the subscription is over.
  func receive(
    _ frame: SubscriptionFrame, of topic: LiveTopic, from index: Int, _ source: any SubscriptionSource
  ) async -> Bool {
    switch live[index].received(frame, of: topic, at: clock.now(), jitter: jitter) {
    case .handle(let event):
      guard await handle(event, of: topic, from: index) else {
        lost(topic, at: index, nil)
        return false
      }
      live[index].remember(event.cursor, of: topic)
      source.acknowledge(event.cursor)
      return true
    case .pass(let cursor):
      await keep(cursor, of: topic, at: index)
      live[index].remember(cursor, of: topic)
      source.acknowledge(cursor)
      return true
    case .nonsense:
      logger.warning(
        "an endpoint tells changes out of order", metadata: ["endpoint": "\(endpoints[index].name)"])
    case .ended(let reason, _):
      logger.info("changes are no longer told", metadata: ["topic": "\(topic.name)", "reason": "\(reason)"])
    }
    lost(topic, at: index, nil)
    return false
  }

  /// Takes what an event brings; `false` when it could not be made durable, so that it must come again.
  private func handle(_ event: SubscriptionEvent, of topic: LiveTopic, from index: Int) async -> Bool {
    let now = clock.now()
    if !live[index].bucket.take(at: now) {
      do { try await clock.sleep(until: live[index].bucket.available(at: now)) } catch { return false }
      _ = live[index].bucket.take(at: clock.now())
    }
    let place = SubscriptionPlace(endpoint: endpoints[index].name, topic: topic.name)
    // Of a record's earlier states nothing follows; what it is now is told by itself.
    let isCurrent = event.isLatestBaseState || event.entry.message["descriptor"]?["method"] == "Delete"
    let entries = isCurrent ? [event.entry] : []
    let outcome = await take(
      isAnchor ? others(among: entries) : entries, .partial, isOvertaken: true, upTo: (place, event.cursor))
    guard saveError == nil else { return false }
    if !outcome.readByID.isEmpty {
      do throws(NodeQueries.Failure) { try await readByID(outcome.readByID, from: index) } catch {
        plans[index].hinted(.complete, at: clock.now())
        wake(.fetch(index))
      }
    }
    if !isAnchor, topic == .deliveries(.v1) {
      // No head says what belongs together: what new keys are for, and which ones ended, shows with all that is there.
      plans[index].hinted(.complete, at: clock.now())
      wake(.fetch(index))
    }
    if !isAnchor, reader.mismatch != nil {
      plans[index].headDiffers(at: clock.now())
      wake(.fetch(index))
    }
    return true
  }

  /// Keeps how far a subscription has come. If it cannot be kept, what was told comes again.
  private func keep(_ cursor: ProgressToken, of topic: LiveTopic, at index: Int) async {
    var change = StoreChange()
    let place = SubscriptionPlace(endpoint: endpoints[index].name, topic: topic.name)
    change.verified[network.id, default: VerifiedChange()].cursors[place] = cursor
    try? await keeper.commits.commit(change)
  }

  /// A subscription ended, or could not be opened.
  func lost(_ topic: LiveTopic, at index: Int, _ error: EndpointError?) {
    sources[.follow(index, topic)] = nil
    live[index].broke(topic, error, at: clock.now(), jitter: jitter)
    noteFollowing(index)
  }

  /// Whether an endpoint tells everything decides how often it is asked. That a machine installed its own definition, and can be given
  /// its keys of encryption v1, nobody tells the anchor.
  private func noteFollowing(_ index: Int) {
    let now = clock.now()
    if live[index].isLive {
      let isToldAll = !isAnchor || network.envelope.hasHeads
      if !plans[index].isFollowed, isToldAll { plans[index].followed(at: now) }
      if live[index].takeGap() { plans[index].hinted(.complete, at: now) }
    } else {
      plans[index].unfollowed(at: now)
    }
    snapshot.isFollowing = live.contains { $0.isLive }
    wake(.fetch(index))
  }

  /// Follows an endpoint from now on, or leaves it.
  func want(_ index: Int, _ isWanted: Bool) {
    guard live[index].isWanted != isWanted else { return }
    live[index].want(isWanted)
    if isWanted {
      wakeFollowing(index)
    } else {
      for topic in live[index].lines.keys { sources[.follow(index, topic)]?.close() }
    }
  }

  /// What was refused is tried again.
  func restartFollowing(_ index: Int) {
    live[index].restart(at: clock.now())
    wakeFollowing(index)
  }

  private func wakeFollowing(_ index: Int) {
    for topic in live[index].lines.keys { wake(.follow(index, topic)) }
  }

  /// From 0 to 1.
  var jitter: Double { Double(random.uint32()) / Double(UInt32.max) }
}
