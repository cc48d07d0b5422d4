public import Wire

/// Which messages of a feed are meant: all members that are there must hold (dwn-messages 6.3).
public struct MessagesFilter: Hashable, Sendable {
  /// `Messages`, `Protocols` or `Records`.
  public var interface: String?
  /// `Configure`, `Delete` or `Write`.
  public var method: String?
  /// Permission records count as belonging to the protocol that they concern, too.
  public var protocolURI: String?
  /// A path and everything below it.
  public var pathPrefix: String?
  /// A record and everything below it.
  public var contextPrefix: String?
  public var timestamp: RecordsFilter.DateRange?

  public init(protocolURI: String? = nil, pathPrefix: String? = nil, contextPrefix: String? = nil) {
    self.protocolURI = protocolURI
    self.pathPrefix = pathPrefix
    self.contextPrefix = contextPrefix
  }

  /// Most filters in one message.
  static let limit = 100

  static func list(_ json: JSONValue) throws(DWNError) -> [MessagesFilter]? {
    guard let items = json.array, items.count <= limit else { return nil }
    var filters: [MessagesFilter] = []
    for item in items { filters.append(try MessagesFilter(item)) }
    return filters
  }

  init(_ json: JSONValue) throws(DWNError) {
    guard let object = json.object, !object.isEmpty else {
      throw .schema("a filter is an object with at least one member")
    }
    var members = MemberReader(object, at: "filter.")
    func text(_ name: String, among allowed: Set<String>) throws(DWNError) -> String? {
      try members.optional(name, "one of \(allowed.sorted().joined(separator: ", "))") { json in
        json.string.flatMap { allowed.contains($0) ? $0 : nil }
      }
    }
    interface = try text("interface", among: ["Messages", "Protocols", "Records"])
    method = try text("method", among: ["Configure", "Delete", "Write"])
    protocolURI = try members.optional("protocol", "a URI") { $0.string }
    pathPrefix = try members.optional("protocolPathPrefix", "a protocol path", Self.bounded)
    contextPrefix = try members.optional("contextIdPrefix", "a context id", Self.bounded)
    timestamp = try members.optional("messageTimestamp", "a range of times") { RecordsFilter.DateRange($0) }
    try members.end()
    if let protocolURI { try URI.check(protocolURI: protocolURI, "filter.protocol") }
  }

  private static func bounded(_ json: JSONValue) -> String? {
    json.string.flatMap { (1...1024).contains($0.utf8.count) ? $0 : nil }
  }

  public var json: JSONValue {
    var object = JSONObject()
    object["interface"] = interface.map { .string($0) }
    object["method"] = method.map { .string($0) }
    object["protocol"] = protocolURI.map { .string($0) }
    object["protocolPathPrefix"] = pathPrefix.map { .string($0) }
    object["contextIdPrefix"] = contextPrefix.map { .string($0) }
    object["messageTimestamp"] = timestamp?.json
    return .object(object)
  }
}
