import Foundation

/// What the lab of NATs needs, and how much of it is wanted: `make lab` asks for everything, `make test` for what tells most.
enum NATLab {
  private static let environment = ProcessInfo.processInfo.environment

  /// Why it cannot be built here, or `nil` if it can.
  static let obstacle: String? = {
    if let obstacle = NetworkLab.obstacle { return obstacle }
    for tool in ["nft", "sysctl", "ss", "curl", "miniupnpd", "conntrack"] where !NetworkLab.have(tool) {
      return "the lab of NATs needs the command \(tool): run scripts/setup"
    }
    return nil
  }()

  /// Whether every pair is wanted (`MESHD_LAB_PAIRS=all`).
  static let isComplete = environment["MESHD_LAB_PAIRS"] == "all"

  /// How often each kind of roaming is tried (`MESHD_LAB_ROAMING`).
  static let tries = environment["MESHD_LAB_ROAMING"].flatMap { Int($0) } ?? 1

  /// What happens to machines that roam (`MESHD_LAB_CHANGES`, `address,sleep`); everything if nothing is named.
  static let changes: [NetworkChange] = {
    let names = (environment["MESHD_LAB_CHANGES"] ?? "").split(separator: ",")
    return names.isEmpty
      ? NetworkChange.allCases : NetworkChange.allCases.filter { change in names.contains { $0 == "\(change)" } }
  }()

  /// Whether more is wanted than `make test` does.
  static let isThorough = isComplete || tries > 5

  /// Where results are written: beside what was built.
  static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent(".build", isDirectory: true)

  /// Does something with each, so many at a time: most of what a lab does is waiting. The results are in the order of `items`.
  static func each<Item: Sendable, Result: Sendable>(
    of items: [Item], together: Int, _ work: @escaping @Sendable (Item) async throws -> Result
  ) async throws -> [Result] {
    try await withThrowingTaskGroup(of: (Int, Result).self) { group in
      var done: [Int: Result] = [:]
      for (index, item) in items.enumerated() {
        if index >= together, let (earlier, result) = try await group.next() { done[earlier] = result }
        group.addTask { (index, try await work(item)) }
      }
      for try await (index, result) in group { done[index] = result }
      return items.indices.compactMap { done[$0] }
    }
  }

  /// The pairs that `MESHD_LAB_PAIRS` names (`open/symmetric,cgnat/cgnat`, a kind alone for all with it, or `all`), without it `few`.
  static func wanted(of all: [HostPair], else few: [HostPair]) -> [HostPair] {
    guard let text = environment["MESHD_LAB_PAIRS"], !text.isEmpty else { return few }
    if isComplete { return all }
    let names = text.split(separator: ",").map { $0.split(separator: "/").map(String.init) }
    return all.filter { pair in
      let kinds = [pair.left.rawValue, pair.right.rawValue]
      return names.contains { $0.count == 1 ? kinds.contains($0[0]) : $0.sorted() == kinds.sorted() }
    }
  }
}
