import DWN
import Identity
import Wire

/// What one subscriber may be told of a feed. It is asked at every delivery, since a right may have ended meanwhile.
protocol EventAccess: Sendable {
  /// Which messages of the feed can matter at all.
  var filter: FeedFilter { get }
  /// Who asked; `nil` when nobody signed.
  var subscriber: DID? { get }
  /// Who signed for that, be it by a grant.
  var signer: DID? { get }
  /// Whether a role or a grant is claimed. Whether rightly, is judged before anything is told.
  var claimsRight: Bool { get }

  /// The right as it is now. Throwing a `DWNError` ends the subscription.
  func sight(in round: EventRound) throws -> any EventSight
}

/// A right at one moment.
protocol EventSight {
  /// What the subscriber gets of a message that matches its filter; `nil` leaves it out.
  func frame(of event: EventRound.Event) throws -> SubscriptionEvent?
}

/// Who follows the records of a filter may see what a query of the same filter would show it (dwn-server 5.2, 9.3).
struct RecordsEventAccess: EventAccess {
  let request: RecordsQueryRequest

  var filter: FeedFilter { .records(request.filter) }
  var subscriber: DID? { request.requester }
  var signer: DID? { request.signed?.signer }
  var claimsRight: Bool { request.role != nil || request.grantID != nil }

  func sight(in round: EventRound) throws -> any EventSight {
    let querying = RecordsQuerying(
      tenant: round.tenant, transaction: round.reader, definitions: round.definitions, limits: round.limits)
    let moment = max(round.now, request.time)
    return Sight(
      request: request, moment: moment,
      selection: try querying.selection(
        for: request, at: moment, occupancy: round.occupancy(for: request.filter)),
      rights: RecordsVisibility(
        tenant: round.tenant, reader: round.reader, definitions: round.definitions, keys: round.keys),
      reader: round.reader)
  }

  private struct Sight: EventSight {
    let request: RecordsQueryRequest
    let moment: WallTime
    let selection: Selection
    let rights: RecordsVisibility
    let reader: any MessageReader

    func frame(of event: EventRound.Event) throws -> SubscriptionEvent? {
      let message = event.message
      guard message.isLatest, let place = message.place, selection.arms.contains(where: { shows(event, by: $0) })
      else { return nil }
      if try rights.hides(message, from: request, at: moment) { return nil }
      guard message.kind == .write else { return event.frame }
      guard selection.occupancy.contains(where: { $0.path == place.path }) else { return event.frame }
      // Only a look at its siblings tells whether the record is one of those that there is room for.
      var own = selection
      own.filter.recordID = place.recordID
      own.limit = 1
      return try reader.find(own).isEmpty ? nil : event.frame
    }

    /// Who wrote a record is told of its end, whoever ended it.
    private func shows(_ event: EventRound.Event, by arm: SelectionArm) -> Bool {
      if case .author(let author) = arm, event.message.kind == .delete, event.initial?.author == author { return true }
      return arm.shows(event.message)
    }
  }
}
