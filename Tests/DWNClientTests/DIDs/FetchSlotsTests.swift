import Synchronization
import Testing

@testable import DWNClient

@Suite("Room for fetches", .timeLimit(.minutes(10)))
struct FetchSlotsTests {
  /// Errands that last until they are told to end.
  private final class Errands: Sendable {
    private let state = Mutex((begun: Set<String>(), ended: Set<String>()))

    var begun: Set<String> { state.withLock { $0.begun } }

    func end(_ name: String) { state.withLock { _ = $0.ended.insert(name) } }

    /// Returns its name.
    func run(_ name: String) async -> String {
      state.withLock { _ = $0.begun.insert(name) }
      while !state.withLock({ $0.ended.contains(name) }) { try? await Task.sleep(for: .milliseconds(2)) }
      return name
    }
  }

  @Test("who leaves lets in one who waits for its site and one who waits for its asker")
  func leaving() async throws {
    // A site has one of four, and who asks has two.
    let slots = FetchSlots(4, waiting: 16)
    let errands = Errands()
    func start(_ name: String, _ site: String?, _ asker: Int) -> Task<String?, Never> {
      Task {
        let errand = FetchSlots.Errand(site: site, asker: UInt128(asker))
        return await slots.run(errand) { await errands.run(name) }
      }
    }
    var tasks = [start("both", "a.example", 1), start("asker", nil, 1)]
    while errands.begun.count < 2 { try await Task.sleep(for: .milliseconds(2)) }
    tasks += [start("next of the site", "a.example", 2), start("next of the asker", nil, 1)]
    while slots.waiting < 2 { try await Task.sleep(for: .milliseconds(2)) }
    errands.end("both")
    for _ in 0..<1000 where errands.begun.count < 4 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(errands.begun.isSuperset(of: ["next of the site", "next of the asker"]))
    for name in ["asker", "next of the site", "next of the asker"] { errands.end(name) }
    for task in tasks { #expect(await task.value != nil) }
  }

  @Test(
    "a site is a name of the kind that people register",
    arguments: [
      ("example.com", "example.com"), ("A.b.Example.com", "example.com"), ("a.example.co.uk", "example.co.uk"),
      ("localhost", "localhost"),
    ])
  func sites(host: String, site: String) {
    #expect(FetchSlots.site(of: host) == site)
  }
}
