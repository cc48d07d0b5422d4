import Foundation
import Testing

extension MeshdLab {
  /// Any two machines connect, whatever lies between them.
  @Suite(.enabled(if: NATLab.obstacle == nil, "\(NATLab.obstacle ?? "")"), .timeLimit(.minutes(40)))
  struct NATPairTests {
    /// Pairs that tell most: the two easy ones, the usual one, one that needs a mapping, one through the anchor's relay alone.
    private static let telling: [HostPair] = [
      HostPair(left: .open, right: .open), HostPair(left: .open, right: .ipv6Only),
      HostPair(left: .portRestricted, right: .portRestricted), HostPair(left: .symmetric, right: .upnp),
      HostPair(left: .cgnat, right: .cgnat), HostPair(left: .portRestricted, right: .blocked),
    ]

    @Test("two machines of every two kinds carry payload, directly where that is possible")
    func pairs() async throws {
      let pairs = NATLab.wanted(of: HostPair.all, else: Self.telling)
      let table = PairTable(measurements: try await NATLab.each(of: pairs, together: 2) { try await measure($0) })
      print(table.text)
      print(table.summary)
      if NATLab.isComplete { try table.write(to: NATLab.folder.appendingPathComponent("lab.json")) }
      for measurement in table.measurements {
        #expect(measurement.fault == nil, "\(measurement.pair.testDescription): \(measurement.fault ?? "")")
      }
    }

    /// A pair whose lab breaks counts as one that carried nothing; the others go on.
    private func measure(_ pair: HostPair) async throws -> PairMeasurement {
      do {
        return try await PairMeasurement.of(pair)
      } catch {
        Issue.record(error, "\(pair.testDescription)")
        return PairMeasurement(pair: pair, path: .relay, payload: false)
      }
    }
  }
}
