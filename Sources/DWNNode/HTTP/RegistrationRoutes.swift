import DWN
import Logging
import NIOHTTP1
import Wire

/// What a DID asks that wants to be a tenant (dwn-server 13).
struct RegistrationRoutes: Sendable {
  private static let largestRequest = 8 << 10

  let gate: TenantGate
  let log: Logger

  func answer(_ request: NodeRequest, path: String) async -> NodeAnswer {
    guard let requirements = gate.tenancy.requirements else { return .notFound }
    switch path {
    case "/registration/proof-of-work":
      guard let challenge = gate.challenge(now: .now()) else { return .notFound }
      return .json([
        "challengeNonce": .string(challenge.nonce), "maximumAllowedHashValue": .string(challenge.largestHash),
      ])
    case "/registration/terms-of-service": return requirements.terms.map { .text($0) } ?? .notFound
    default: return await register(request)
    }
  }

  private func register(_ request: NodeRequest) async -> NodeAnswer {
    guard case .bytes(let body)? = request.data?.content,
      let json = try? JSONValue(parsing: body, depth: 8, limit: Self.largestRequest)
    else { return .failure(.noPayload, status: .badRequest) }
    do {
      try await gate.register(json, at: .now(), now: .now())
      return .json(["success": true])
    } catch let refusal as RegistrationRefusal {
      return .json(refusal.json, status: .badRequest)
    } catch {
      log.error("a registration could not be kept", metadata: ["error": "\(error)"])
      return .failure(.internalError)
    }
  }
}
