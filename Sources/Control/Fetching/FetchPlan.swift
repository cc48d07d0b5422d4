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
    [MeshProtocol.nodeInfo, MeshProtocol.endpoint]
      + (withMembers ? [MeshProtocol.memberNodeInfo, MeshProtocol.memberEndpoint] : [])
  }
}

extension FetchPlan {
  /// The heads among what was shown, as they read: who signed them is not looked at.
  static func heads(in shown: [ReplyEntry]) -> [HeadRecord] {
    shown.compactMap { entry in
      guard entry.message["descriptor"]?["protocolPath"]?.string == MeshProtocol.head.text else { return nil }
      return entry.data.flatMap { try? HeadRecord(parsing: $0) }
    }
  }
}

extension NodeQueries {
  /// Head, keys and what nodes wrote of themselves since a date. The head is asked before the rest, so that a machine that may not
  /// read asks for nothing else; its keys are looked for in any case.
  func recent(since: WallTime, withMembers: Bool) async throws(Failure) -> (shown: [ReplyEntry], isAdmitted: Bool) {
    let deliveries = try await deliveries()
    let heads: [ReplyEntry]
    do {
      heads = try await records(at: MeshProtocol.head)
    } catch .notAdmitted {
      return (deliveries, false)
    }
    let own = try await together(FetchPlan.ownRecords(withMembers: withMembers).map { .path($0, since: since) })
    return (deliveries + heads + own, true)
  }

  /// Everything: offered together, it is one candidate for what the newest head covers.
  func complete() async throws(Failure) -> [ReplyEntry] {
    let heads = try await records(at: MeshProtocol.head)
    let paths = FetchPlan.covered + FetchPlan.ownRecords(withMembers: true)
    let rest = try await together([.network, .definitions, .deliveries] + paths.map { .path($0, since: nil) })
    return heads + rest
  }

  enum Query: Sendable {
    case network
    case definitions
    case allDefinitions
    case deliveries
    case allDeliveries
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
      case .deliveries: return .success(try await deliveries())
      case .allDeliveries: return .success(try await allDeliveries())
      case .path(let path, let since): return .success(try await records(at: path, since: since))
      }
    } catch {
      return .failure(error)
    }
  }
}
