import DWN
import Mesh
import Wire

/// Which queries a fetch consists of. Head first: what is asked after it can only be newer than what it covers.
enum FetchPlan {
  /// Everything that a head covers beside the network record and the definition.
  static let covered = [
    MeshProtocol.node, MeshProtocol.member, MeshProtocol.memberNode, MeshProtocol.aclPolicy, MeshProtocol.relay,
  ]

  /// What the nodes write themselves.
  static func ownRecords(withMembers: Bool) -> [ProtocolPath] {
    Array(MeshProtocol.ownRecords.prefix(withMembers ? 4 : 2))
  }
}

extension NodeQueries {
  /// Keys, what says whether there is something new, and what nodes wrote of themselves since a date. What takes a role is asked
  /// before the rest, so that a machine that may not read asks for nothing else; its keys are looked for in any case.
  func recent(since: WallTime, withMembers: Bool) async throws(Failure) -> (shown: [ReplyEntry], isAdmitted: Bool) {
    let keys = try await together(network.envelope.hasHeads ? [.deliveries] : [.deliveries, .audiences])
    let first: [ReplyEntry]
    do {
      // Without heads, everything that is new has to be asked for.
      first =
        try await network.envelope.hasHeads
        ? records(at: MeshProtocol.head) : records(at: MeshProtocol.node, since: since)
    } catch .notAdmitted {
      return (keys, false)
    }
    let rest = network.envelope.hasHeads ? [] : FetchPlan.covered.dropFirst()
    let own = try await together(
      (rest + FetchPlan.ownRecords(withMembers: withMembers)).map { .path($0, since: since) })
    return (keys + first + own, true)
  }

  /// Everything: with heads, offered together, it is one candidate for what the newest of them covers.
  func complete() async throws(Failure) -> [ReplyEntry] {
    let first = network.envelope.hasHeads ? MeshProtocol.head : MeshProtocol.node
    let entries = try await records(at: first)
    let paths = (FetchPlan.covered + MeshProtocol.ownRecords).filter { $0 != first }
    let keys: [Query] = network.envelope.hasHeads ? [.deliveries] : [.deliveries, .audiences]
    let rest = try await together([.network, .definitions] + keys + paths.map { .path($0, since: nil) })
    return entries + rest
  }

  enum Query: Sendable {
    case network
    case definitions
    case allDefinitions
    case deliveries
    case allDeliveries
    case audiences
    case path(ProtocolPath, since: WallTime?)
  }

  /// Side by side; the answers in the order of the questions.
  func together(_ queries: [Query]) async throws(Failure) -> [ReplyEntry] {
    let results = await withTaskGroup(of: (Int, Result<[ReplyEntry], Failure>).self) { group in
      for (index, query) in queries.enumerated() {
        group.addTask { (index, await answer(query)) }
      }
      var results: [(Int, Result<[ReplyEntry], Failure>)] = []
      for await result in group { results.append(result) }
      return results.sorted { $0.0 < $1.0 }.map(\.1)
    }
    var entries: [ReplyEntry] = []
    for result in results { entries += try result.get() }
    return entries
  }

  private func answer(_ query: Query) async -> Result<[ReplyEntry], Failure> {
    do throws(Failure) {
      switch query {
      case .network: return .success(try await networkRecord())
      case .definitions: return .success(try await definitions(of: MeshProtocol.uri))
      case .allDefinitions: return .success(try await definitions(of: nil))
      case .audiences: return .success(try await audiences())
      case .deliveries: return .success(try await deliveries())
      case .allDeliveries: return .success(try await allDeliveries())
      case .path(let path, let since): return .success(try await records(at: path, since: since))
      }
    } catch {
      return .failure(error)
    }
  }
}
