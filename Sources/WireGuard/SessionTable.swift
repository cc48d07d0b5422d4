/// A peer's sessions: the one to seal with, the one before it, and one that the peer has not used yet (WireGuard §6.3).
///
/// Every change returns the sessions that have no place any more.
struct SessionTable: Sendable {
  private(set) var previous: Session?
  private(set) var current: Session?
  private(set) var next: Session?

  var all: [Session] { [previous, current, next].compactMap { $0 } }

  /// We initiated, so the peer has used the session already.
  mutating func installCurrent(_ session: Session) -> [Session] {
    let retired: [Session?]
    if let next {
      retired = [previous, current]
      previous = next
      self.next = nil
    } else {
      retired = [previous]
      previous = current
    }
    current = session
    return retired.compactMap { $0 }
  }

  /// We responded, so the peer must use the session before we may.
  mutating func installNext(_ session: Session) -> [Session] {
    let retired = [previous, next]
    previous = nil
    next = session
    return retired.compactMap { $0 }
  }

  /// The peer used the session. `nil` if that is not the next one.
  mutating func promote(_ id: SessionID) -> (Session, retired: [Session])? {
    guard let promoted = next, promoted.id == id else { return nil }
    let retired = previous
    previous = current
    current = promoted
    next = nil
    return (promoted, retired.map { [$0] } ?? [])
  }

  mutating func removeAll() -> [Session] {
    defer { self = SessionTable() }
    return all
  }
}
