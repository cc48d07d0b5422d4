public import Wire

/// What a node says of itself at `/info` (`dwn-server.md` 11.4). Claims, to be shown and to choose by; nothing is believed because
/// of them.
public struct NodeInformation: Hashable, Sendable {
  /// What a DID has to do before it is a tenant.
  public enum Requirement: Hashable, Sendable, CustomStringConvertible {
    case proofOfWork
    case termsOfService
    case providerAuthorization
    case unknown(String)

    init(_ text: String) {
      switch text {
      case "proof-of-work-sha256-v0": self = .proofOfWork
      case "terms-of-service": self = .termsOfService
      case "provider-auth-v0": self = .providerAuthorization
      default: self = .unknown(String(text.prefix(100)))
      }
    }

    public var description: String {
      switch self {
      case .proofOfWork: "a proof of work"
      case .termsOfService: "its terms of service to be accepted"
      case .providerAuthorization: "an authorization by its provider"
      case .unknown(let text): "\"\(text)\""
      }
    }
  }

  /// Where an account's token for a registration is got.
  public struct Provider: Hashable, Sendable {
    public var authorizeURL: String
    public var tokenURL: String

    init?(_ json: JSONValue?) {
      guard let authorize = json?["authorizeUrl"]?.string, let token = json?["tokenUrl"]?.string,
        max(authorize.utf8.count, token.utf8.count) <= EndpointURL.maximumLength
      else { return nil }
      authorizeURL = authorize
      tokenURL = token
    }
  }

  public var server: String?
  public var version: String?
  /// Largest data of one record, in bytes.
  public var largestData: Int64?
  public var hasWebSocket: Bool
  /// Empty: whoever the operator has named, or everybody, is a tenant without registration.
  public var registration: [Requirement]
  /// Where a provider gives authorizations, if it says so.
  public var provider: Provider?
  /// Whether a request may be one body instead of a header and a body.
  public var takesWholeBodies: Bool

  /// Largest answer that is read, in bytes.
  static let limit = 64 << 10
  private static let requirementLimit = 16

  /// `nil` unless it is an object. What is missing or of another type is as if not said.
  public init?(_ json: JSONValue) {
    guard json.object != nil else { return nil }
    func text(_ name: String) -> String? { json[name]?.string.map { String($0.prefix(100)) } }
    server = text("server")
    version = text("version")
    largestData = json["maxFileSize"]?.integer.flatMap { $0 >= 0 ? $0 : nil }
    hasWebSocket = json["webSocketSupport"]?.bool ?? false
    registration = (json["registrationRequirements"]?.array ?? []).prefix(Self.requirementLimit)
      .compactMap { $0.string.map(Requirement.init) }
    provider = Provider(json["providerAuth"])
    takesWholeBodies = json["httpRpcFraming"]?.array?.contains("body-v1") ?? false
  }
}
