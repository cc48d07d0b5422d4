import Identity

/// Which machines are asked for in one look, when there are more than one look may ask for: each in its turn, so that many of whom
/// nothing comes keep nobody from being found. A value without I/O.
struct AskingTurn: Sendable {
  /// In this round.
  private var asked: Set<DID> = []

  /// At most `limit` of those that wait, who are in order: first who was not asked in this round, then who was.
  mutating func next(among waiting: [DID], limit: Int) -> [DID] {
    let fresh = waiting.filter { !asked.contains($0) }
    let chosen = Array((fresh + waiting.filter(asked.contains)).prefix(limit))
    if fresh.count <= limit {
      asked = Set(chosen)
    } else {
      asked.formUnion(chosen)
    }
    return chosen
  }
}
