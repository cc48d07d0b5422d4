public import DWN
public import Identity
public import Wire

/// An invitation into a network: `meshd://invite/` and the base64url of a JSON object (`mesh-protocol.md` section 6.3).
///
/// With a token, whoever has it may ask to be admitted; without, it only says where the network is.
public struct Invite: Hashable, Sendable {
  public struct Token: Hashable, Sendable {
    /// The anchor's record of the invitation.
    public let id: String
    /// What proves that somebody was invited. It goes nowhere but into a proof.
    public let secret: String
  }

  public let endpoint: String
  public let anchor: DID
  public let networkID: RecordID
  public let networkName: String?
  public let token: Token?
  /// `nil`: never.
  public let expiresAt: WallTime?

  public static let prefix = "meshd://invite/"
  public static let maximumLength = 8192

  /// Reads the whole URL, or what stands behind its prefix. `nil` for anything else, and for one whose expiry cannot be read.
  public init?(_ text: String) {
    let trimmed = text.trimmed
    let payload = trimmed.hasPrefix(Self.prefix) ? String(trimmed.dropFirst(Self.prefix.count)) : trimmed
    guard payload.utf8.count <= Self.maximumLength, let bytes = Base64.decode(payload),
      let json = try? JSONValue(parsing: bytes, depth: 4), json["version"]?.integer == 1
    else { return nil }
    func member(_ name: String) -> String? {
      guard let value = json[name]?.string?.trimmed, !value.isEmpty else { return nil }
      return value
    }
    guard let endpoint = member("endpoint"), let anchor = member("anchorDid").flatMap({ DID($0) }),
      let network = member("networkId").flatMap({ RecordID($0) })
    else { return nil }
    switch (member("tokenId"), member("secret")) {
    case (let id?, let secret?): token = Token(id: id, secret: secret)
    case (nil, nil): token = nil
    default: return nil
    }
    let expiry = member("expiresAt")
    expiresAt = expiry.flatMap { WallTime(rfc3339: $0) }
    if expiry != nil, expiresAt == nil { return nil }
    self.endpoint = endpoint
    self.anchor = anchor
    self.networkID = network
    self.networkName = member("networkName")
  }

  public func hasExpired(at now: WallTime) -> Bool { expiresAt.map { $0 <= now } ?? false }
}

extension Invite: CustomStringConvertible, CustomReflectable {
  public var description: String { "invitation into \(networkID)" }
  public var customMirror: Mirror { Mirror(self, children: []) }
}

extension String {
  /// Without white space at both ends.
  fileprivate var trimmed: String {
    let rest = drop(while: \.isWhitespace)
    return String(rest[..<(rest.lastIndex { !$0.isWhitespace }.map { rest.index(after: $0) } ?? rest.startIndex)])
  }
}
