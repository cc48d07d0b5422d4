import DWN
import Identity
import Wire

/// A node in this process, with what its server asks of it beside messages: data of any size, and who is a tenant.
protocol ServedNode: DWNEndpoint {
  /// Of one record, in bytes.
  var largestData: Int { get }

  var gate: TenantGate { get }

  /// Whom a write binds, once its signature was verified; whether it may be written is not yet judged. Throws the reply's status for
  /// what is no write, or not genuine.
  func author(ofWrite message: JSONValue) async throws(DWNError) -> DID

  /// Whether the tenant signed a message, or signed for having it; whatever else may be wrong with it.
  func isTenants(_ message: JSONValue, _ tenant: DID) async -> Bool

  /// Why this node as a whole has no room for so many bytes of somebody's at a tenant's; `nil`: it has, as far as it knows.
  func refusalOfRoom(for size: Int, of author: DID, at tenant: DID) async -> DWNError?

  /// Begins to take in data for a message that is still to be processed.
  func receive(for holder: StagingHolder) -> IncomingData

  /// `subscribe(tenant:message:)` in somebody's name.
  func subscribe(
    tenant: DID, message: JSONValue, from caller: Caller
  ) async throws(EndpointError) -> (reply: Reply, frames: (any SubscriptionSource)?)

  func process(tenant: DID, message: JSONValue, received: ReceivedData?) async throws(EndpointError) -> NodeReply
}

extension DWNNode: ServedNode {
  var largestData: Int { limits.largestData }
}
