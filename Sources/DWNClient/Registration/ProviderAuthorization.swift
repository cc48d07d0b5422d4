import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Wire

/// Gets the token with which a node's provider lets a DID register (`provider-auth-v0`, `dwn-server.md` 13): a code from one place,
/// and for it the token from another. Both are named by the node, and need not be on its host.
///
/// A provider that wants to see a person answers something else than a code; the registration is refused then.
struct ProviderAuthorization {
  /// For programs that no browser can be led back to.
  static let outOfBand = "urn:ietf:wg:oauth:2.0:oob"
  private static let longestCode = 4096
  private static let longestToken = 16 << 10

  private let provider: NodeInformation.Provider
  private let node: HTTPEndpoint

  init(_ provider: NodeInformation.Provider, for node: HTTPEndpoint) {
    self.provider = provider
    self.node = node
  }

  func token() async throws(RegistrationError) -> String {
    let state = Hex.encode(node.random.bytes(16))
    let query = [URLQueryItem(name: "redirect_uri", value: Self.outOfBand), URLQueryItem(name: "state", value: state)]
    let place = try place(provider.authorizeURL, query)
    let code = try await answer(HTTPClientRequest(url: place.url), at: place.origin)
    guard code["state"]?.string == state, let text = self.text(code["code"], atMost: Self.longestCode) else {
      throw refused("it gives no code for this request")
    }
    let exchange: JSONValue = [
      "code": .string(text), "redirectUri": .string(code["redirectUri"]?.string ?? Self.outOfBand),
    ]
    let tokenPlace = try self.place(provider.tokenURL, [])
    var request = HTTPClientRequest(url: tokenPlace.url)
    request.method = .POST
    request.headers.add(name: "content-type", value: "application/json")
    request.body = .bytes(exchange.encoded, length: .known(Int64(exchange.encoded.count)))
    let answer = try await answer(request, at: tokenPlace.origin)
    guard let token = self.text(answer["registrationToken"], atMost: Self.longestToken) else {
      throw refused("it gives no token for its code")
    }
    return token
  }

  /// A URL that a node names, with more in its query. Secrets go there: not without TLS, where the node itself has it.
  private func place(
    _ text: String, _ query: [URLQueryItem]
  ) throws(RegistrationError) -> (url: String, origin: EndpointURL) {
    guard var parts = URLComponents(string: text), parts.fragment == nil else { throw refused("its URL is none") }
    parts.queryItems = query.isEmpty ? parts.queryItems : (parts.queryItems ?? []) + query
    var origin = parts
    origin.path = ""
    origin.queryItems = nil
    guard let url = parts.string, let base = origin.string, let endpoint = try? EndpointURL(base) else {
      throw refused("its URL is none")
    }
    guard endpoint.isTLS || !node.url.isTLS else { throw refused("it is not spoken with over TLS") }
    return (url, endpoint)
  }

  /// Connections to a provider are its own: they are not the node's, whose certificate has another name.
  private func answer(_ request: HTTPClientRequest, at origin: EndpointURL) async throws(RegistrationError) -> JSONValue
  {
    let provider = node.sibling(at: origin)
    let answer: Result<JSONRPCAnswer, RegistrationError>
    do throws(RegistrationError) { answer = .success(try await provider.plain(request)) } catch {
      answer = .failure(error)
    }
    await provider.shutdown()
    let received = try answer.get()
    guard received.status == 200, let json = try? JSONValue(parsing: received.body, depth: 4) else {
      throw refused("HTTP status \(received.status)")
    }
    return json
  }

  private func text(_ json: JSONValue?, atMost longest: Int) -> String? {
    json?.string.flatMap { (1...longest).contains($0.utf8.count) ? $0 : nil }
  }

  private func refused(_ reason: String) -> RegistrationError {
    .refused(name: node.name, reason: "its provider gives no authorization: \(reason)")
  }
}
