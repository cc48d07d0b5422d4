import Identity
import Wire

/// Which members a message and its descriptor may have, and of what type.
struct MessageForm {
  struct Member {
    let name: String
    let isRequired: Bool
    let check: @Sendable (JSONValue) -> Bool
    let expectation: String
  }

  let topLevel: (required: Set<String>, optional: Set<String>)
  let members: [String: Member]

  private init(required: Set<String>, optional: Set<String>, _ members: [Member]) {
    self.topLevel = (required, optional)
    self.members = Dictionary(uniqueKeysWithValues: (Self.shared + members).map { ($0.name, $0) })
  }

  func check(json: JSONObject, descriptor: JSONObject) throws(DWNError) {
    for name in json.names where !topLevel.required.contains(name) && !topLevel.optional.contains(name) {
      throw .additional("the message has an unknown member \"\(name)\"")
    }
    for name in topLevel.required where !json.contains(name) {
      throw .schema("the message has no \"\(name)\"")
    }
    for (name, value) in descriptor.members {
      guard let member = members[name] else { throw .additional("the descriptor has an unknown member \"\(name)\"") }
      guard member.check(value) else { throw .schema("descriptor.\(name) must be \(member.expectation)") }
    }
    for member in members.values where member.isRequired && !descriptor.contains(member.name) {
      throw .schema("the descriptor has no \"\(member.name)\"")
    }
  }

  static func of(_ kind: Message.Kind) -> MessageForm {
    switch kind {
    case .recordsWrite: recordsWrite
    case .recordsRead: recordsRead
    case .recordsQuery: recordsQuery
    case .recordsDelete: recordsDelete
    case .protocolsConfigure: protocolsConfigure
    case .protocolsQuery: protocolsQuery
    }
  }

  private static let shared: [Member] = [
    .required("interface", "text") { $0.string != nil },
    .required("method", "text") { $0.string != nil },
    .required("messageTimestamp", "text") { $0.string != nil },
  ]

  private static let recordsWrite = MessageForm(
    required: ["recordId", "contextId", "descriptor", "authorization"], optional: ["encryption"],
    [
      .required("protocol", "a URI") { $0.string.map(URI.isPlausible) ?? false },
      .required("protocolPath", "a protocol path") { $0.string.flatMap { ProtocolPath($0) } != nil },
      .required("dataCid", "a CID") { $0.string.flatMap { CID($0) } != nil },
      .required("dataSize", "a number of bytes") { ($0.integer ?? -1) >= 0 },
      .required("dataFormat", "a media type") { (1...255).contains($0.string?.utf8.count ?? 0) },
      .required("dateCreated", "a timestamp") { $0.string.flatMap { WallTime(timestamp: $0) } != nil },
      .optional("recipient", "a DID") { $0.string.flatMap { DID($0) } != nil },
      .optional("schema", "a URI") { $0.string.map(URI.isPlausible) ?? false },
      .optional("tags", "1 to 10 tags: text, number, boolean, or a list of 1 to 10 texts or numbers", isTags),
      .optional("parentId", "a record id") { $0.string.flatMap { RecordID($0) } != nil },
      .optional("published", "a boolean") { $0.bool != nil },
      .optional("datePublished", "a timestamp") { $0.string.flatMap { WallTime(timestamp: $0) } != nil },
      .optional("squash", "true") { $0.bool == true },
    ])

  private static let recordsRead = MessageForm(
    required: ["descriptor"], optional: ["authorization"],
    [
      .required("filter", "an object") { $0.object != nil },
      .optional("dateSort", "a sort order") { $0.string.flatMap { DateSort(rawValue: $0) } != nil },
      .optional("includeReplicationSupport", "a boolean") { $0.bool != nil },
    ])

  private static let recordsQuery = MessageForm(
    required: ["descriptor"], optional: ["authorization"],
    [
      .required("filter", "an object") { $0.object != nil },
      .optional("dateSort", "a sort order") { $0.string.flatMap { DateSort(rawValue: $0) } != nil },
      .optional("pagination", "an object") { $0.object != nil },
    ])

  private static let recordsDelete = MessageForm(
    required: ["descriptor", "authorization"], optional: [],
    [
      .required("recordId", "a record id") { $0.string.flatMap { RecordID($0) } != nil },
      .required("prune", "a boolean") { $0.bool != nil },
    ])

  private static let protocolsConfigure = MessageForm(
    required: ["descriptor", "authorization"], optional: [],
    [.required("definition", "an object") { $0.object != nil }])

  private static let protocolsQuery = MessageForm(
    required: ["descriptor"], optional: ["authorization"],
    [.optional("filter", "an object") { $0.object != nil }])

  private static func isTags(_ value: JSONValue) -> Bool {
    guard let tags = value.object, (1...10).contains(tags.count) else { return false }
    return tags.members.allSatisfy { _, tag in
      switch tag {
      case .string, .integer, .number, .bool: true
      case .array(let items):
        (1...10).contains(items.count)
          && (items.allSatisfy { $0.string != nil } || items.allSatisfy { $0.double != nil })
      default: false
      }
    }
  }
}

extension MessageForm.Member {
  fileprivate static func required(
    _ name: String, _ expectation: String, _ check: @escaping @Sendable (JSONValue) -> Bool
  ) -> Self {
    Self(name: name, isRequired: true, check: check, expectation: expectation)
  }

  fileprivate static func optional(
    _ name: String, _ expectation: String, _ check: @escaping @Sendable (JSONValue) -> Bool
  ) -> Self {
    Self(name: name, isRequired: false, check: check, expectation: expectation)
  }
}

extension DWNError {
  fileprivate static func additional(_ text: String) -> DWNError {
    DWNError(400, "SchemaValidatorAdditionalPropertyNotAllowed", text)
  }
}
