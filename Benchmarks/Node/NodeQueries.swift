import Identity
import DWNNode
import DWN
import Foundation
import Wire

/// What a node answers by itself and by a role, while the number of records that are not asked for grows a thousandfold.
struct NodeQueries: Benchmark {
  let title = "reads and role-authorized queries of a node with up to 1 000 000 records"
  private static let sizes = [1_000, 100_000, 1_000_000]
  private static let slice = Duration.seconds(2)
  private static let machines = 100

  func figures(_ effort: Effort) async throws -> [Figure] {
    try await NodeUnderTest.run { try await figures($0) }
  }

  private func figures(_ subject: NodeUnderTest) async throws -> [Figure] {
    let endpoints = try await Self.endpoints(subject)
    let verification = Figure(
      "signatures of queries alone, one core", NodeUnderTest.checks(of: queried(subject)(endpoints[0]).json), "1/s")
    var queries: [Figure] = []
    var reads: [Figure] = []
    var filled = 0
    for size in Self.sizes {
      try FillerRecords.fill(subject.databasePath, template: endpoints[0], from: filled, to: size)
      filled = size
      let name = "\(size / 1_000) k records"
      // Against the smallest database of the same run, it shows whether the answer's price is flat.
      let rate = try await rate(subject, endpoints, queried(subject))
      queries.append(
        queries.first.map { Figure("role-authorized queries/s, \(name)", rate, versus: $0) }
          ?? Figure("role-authorized queries/s, \(name)", rate, versus: verification))
      let readRate = try await self.rate(subject, endpoints, read(subject))
      reads.append(
        reads.first.map { Figure("reads/s of one record, \(name)", readRate, versus: $0) }
          ?? Figure("reads/s of one record, \(name)", readRate, versus: verification))
    }
    return queries + reads + [verification]
  }

  private static func endpoints(_ subject: NodeUnderTest) async throws -> [RecordsWrite] {
    var endpoints: [RecordsWrite] = []
    for _ in 0..<machines {
      let machine = subject.signed("network/machine", below: subject.network)
      try await subject.take(machine.0, data: machine.1)
      let endpoint = subject.signed("network/machine/endpoint", below: machine.0)
      try await subject.take(endpoint.0, data: endpoint.1)
      endpoints.append(endpoint.0)
    }
    return endpoints
  }

  /// Role-authorized queries a second, of a node with few other records.
  static func rate(of subject: NodeUnderTest) async throws -> Double {
    let queries = NodeQueries()
    return try await queries.rate(subject, endpoints(subject), queries.queried(subject))
  }

  private func queried(_ subject: NodeUnderTest) -> @Sendable (RecordsWrite) -> SignedMessage {
    { endpoint in
      let filter = RecordsFilter(
        protocolURI: NodeUnderTest.protocolURI, path: "network/machine/endpoint", contextID: endpoint.contextID.parent)
      return subject.member.recordsQuery(filter, at: subject.time(), role: NodeUnderTest.role)
    }
  }

  private func read(_ subject: NodeUnderTest) -> @Sendable (RecordsWrite) -> SignedMessage {
    { endpoint in
      subject.member.recordsRead(
        RecordsFilter(protocolURI: NodeUnderTest.protocolURI, recordID: endpoint.recordID), at: subject.time(),
        role: NodeUnderTest.role)
    }
  }

  /// 16 who ask at once; the messages were signed before.
  private func rate(
    _ subject: NodeUnderTest, _ endpoints: [RecordsWrite], _ sign: @Sendable (RecordsWrite) -> SignedMessage
  ) async throws -> Double {
    let messages = endpoints.map { sign($0).json }
    var rates: [Double] = []
    for _ in 0..<3 {
      rates.append(
        try await Clients.rate(16, for: Self.slice) { number in
          let reply = try await subject.node(for: number).process(
            tenant: subject.tenant.did, message: messages[number % messages.count], data: nil)
          try NodeUnderTest.expect(200, reply)
          guard reply.entries.count == 1 || reply.members["entry"] != nil else {
            throw BenchmarkFailure(reason: "a query did not find its record")
          }
          return true
        })
    }
    return Clients.median(rates)
  }
}
