import AsyncHTTPClient
import Cryptography
import DWN
public import Identity
import NIOCore
import NIOHTTP1
import Wire

extension HTTPEndpoint {
  /// The time that is given to a proof of work.
  public static let workPatience: Duration = .seconds(300)
  private static let largestAnswer = 256 << 10
  /// A challenge may grow old while it is worked on.
  private static let attempts = 3
  /// Refusals after which another challenge may be solved: it took too long for the one before.
  private static let passing = ["ProofOfWorkInvalidOrExpiredChallenge", "ProofOfWorkInsufficientSolutionNonce"]

  /// Makes a DID a tenant of this node, by what the node asks for at `/info`. Nothing happens where it asks for nothing.
  ///
  /// Terms are agreed to only if `acceptsTerms` says so: then by the hash of the text that the node shows now.
  public func register(
    _ did: DID, acceptsTerms: Bool, patience: Duration = HTTPEndpoint.workPatience
  ) async throws(RegistrationError) {
    let node: NodeInformation
    do { node = try await information() } catch { throw .endpoint(error) }
    let asked = node.registration
    if asked.isEmpty { return }
    for requirement in asked {
      switch requirement {
      case .proofOfWork, .termsOfService: continue
      case .providerAuthorization where node.provider != nil: continue
      default: throw .unsupported(name: name, requirement)
      }
    }
    var data: JSONObject = ["did": .string(did.text)]
    if asked.contains(.termsOfService), let terms = try await termsOfService() {
      guard acceptsTerms else { throw .termsNotAccepted(name: name) }
      data["termsOfServiceHash"] = .string(Hex.encode(SHA2.sha256(terms)))
    }
    if asked.contains(.providerAuthorization), let provider = node.provider {
      // Stands for the proof of work, too.
      let token = try await ProviderAuthorization(provider, for: self).token()
      let body: JSONObject = [
        "providerAuth": ["registrationToken": .string(token)], "registrationData": .object(data),
      ]
      if let refusal = try await post(.object(body)) { throw .refused(name: name, reason: refusal) }
      return
    }
    var reason = ""
    for _ in 0..<Self.attempts {
      var body: JSONObject = ["registrationData": .object(data)]
      if asked.contains(.proofOfWork) { body["proofOfWork"] = try await proof(for: data, patience) }
      guard let refusal = try await post(.object(body)) else { return }
      reason = refusal
      guard Self.passing.contains(where: reason.hasPrefix) else { break }
    }
    throw .refused(name: name, reason: reason)
  }

  /// `nil` where there are none.
  private func termsOfService() async throws(RegistrationError) -> [UInt8]? {
    let answer = try await get("/registration/terms-of-service")
    switch answer.status {
    case 200: return answer.body
    case 404: return nil
    default: throw .refused(name: name, reason: "its terms of service cannot be read (HTTP status \(answer.status))")
    }
  }

  private func proof(for data: JSONObject, _ patience: Duration) async throws(RegistrationError) -> JSONValue {
    let answer = try await get("/registration/proof-of-work")
    guard answer.status == 200, let json = try? JSONValue(parsing: answer.body, depth: 4), let search = WorkSearch(json)
    else { throw .refused(name: name, reason: "it gives no challenge (HTTP status \(answer.status))") }
    guard
      let response = await search.response(for: JSONValue.object(data).encoded, within: patience, random: random)
    else { throw .workNotDone(name: name, seconds: Int(patience.seconds)) }
    return ["challengeNonce": .string(search.challenge), "responseNonce": .string(response)]
  }

  /// Why the node refuses; `nil` when the DID is a tenant now, or was one.
  private func post(_ body: JSONValue) async throws(RegistrationError) -> String? {
    var request = HTTPClientRequest(url: url.text + "/registration")
    request.method = .POST
    request.headers.add(name: "content-type", value: "application/json")
    request.body = .bytes(body.encoded, length: .known(Int64(body.encoded.count)))
    let answer = try await plain(request)
    if (200..<300).contains(answer.status) || answer.status == 409 { return nil }
    let json = try? JSONValue(parsing: answer.body, depth: 4)
    let text = [json?["code"]?.string, json?["message"]?.string].compactMap { $0 }.joined(separator: ": ")
    if text.contains("already"), text.contains("registered") || text.contains("exists") { return nil }
    return text.isEmpty ? "HTTP status \(answer.status)" : text.clipped(to: 300)
  }

  private func get(_ path: String) async throws(RegistrationError) -> JSONRPCAnswer {
    try await plain(HTTPClientRequest(url: url.text + path))
  }

  func plain(_ request: HTTPClientRequest) async throws(RegistrationError) -> JSONRPCAnswer {
    do {
      return try await answered(request) { answer throws(EndpointError) in
        guard answer.status != 429 else { throw answer.rateLimit(from: name, now: WallTime.now()) }
        guard answer.body.count <= Self.largestAnswer else {
          throw .notADWN(name: name, reason: "its answer is larger than \(Self.largestAnswer) bytes")
        }
        return answer
      }
    } catch {
      throw .endpoint(error)
    }
  }
}
