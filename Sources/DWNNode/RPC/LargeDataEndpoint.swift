import DWN
import Identity
import Wire

/// A node in this process that takes and gives data of any size without holding it in memory.
protocol LargeDataEndpoint: DWNEndpoint {
  /// Of one record, in bytes.
  var largestData: Int { get }

  /// Whether a DID's messages are taken at all.
  func serves(_ tenant: DID) -> Bool

  /// Begins to take in data for a message that is still to be processed.
  func receive() -> IncomingData

  func process(tenant: DID, message: JSONValue, received: ReceivedData?) async throws(EndpointError) -> NodeReply
}

extension DWNNode: LargeDataEndpoint {
  var largestData: Int { limits.largestData }

  func serves(_ tenant: DID) -> Bool { tenants.includes(tenant) }
}
