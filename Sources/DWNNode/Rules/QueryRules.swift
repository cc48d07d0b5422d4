import DWN
import Wire

/// What a definition means for every query of its records. The store keeps it beside the definition, so that a query looks at no
/// definition, however many there are.
struct QueryRules: Hashable, Sendable {
  /// `$recordLimit` with the strategy to reject.
  struct Limit: Hashable, Sendable {
    var path: ProtocolPath
    var maximum: Int
  }

  var limits: [Limit] = []
  /// Types at the root that stand for a record of another protocol with more than one level: the contexts below are longer than
  /// the paths.
  var deepRoots: [ProtocolPath] = []

  init(limits: [Limit] = [], deepRoots: [ProtocolPath] = []) {
    self.limits = limits
    self.deepRoots = deepRoots
  }

  init(_ definition: ProtocolDefinition) {
    for rules in definition.ruleSets {
      if let limit = rules.recordLimit, limit.strategy == .reject {
        limits.append(Limit(path: rules.path, maximum: limit.maximum))
      }
      if rules.path.depth == 1, let base = definition.base(of: rules.path), base.path.depth > 1 {
        deepRoots.append(rules.path)
      }
    }
  }

  /// What each of them takes beside its text: the numbers of a row, and its place in two indexes.
  private static let rowSize = 40

  /// Bytes that a store needs for them: each stands in a row and in an index with its protocol's name, which may be long.
  func size(of protocolURI: String) -> Int {
    (limits.map(\.path) + deepRoots).reduce(0) {
      $0 + 2 * (protocolURI.utf8.count + $1.text.utf8.count) + Self.rowSize
    }
  }

  /// What is installed for a protocol that every node has means nothing.
  init(inForce definition: ProtocolDefinition) {
    if DefinitionCache.isBuiltIn(definition.uri) { self.init() } else { self.init(definition) }
  }

  /// Of a definition as the message that installs it has it; `nil` if that cannot be read.
  init?(configure json: String) {
    guard let message = try? JSONValue(parsing: json, depth: Message.maximumDepth),
      let definition = try? message["descriptor"]?["definition"].map({ try ProtocolDefinition($0) })
    else { return nil }
    self.init(inForce: definition)
  }

  /// Places that one query can tell apart.
  static let mostLimits = 200
}

extension MessageReader {
  /// Where records of a filter are shown only up to a number. Throws status 400 where those are too many places for one question.
  func occupancy(for filter: RecordsFilter) throws -> [Selection.Occupancy] {
    var uri = filter.protocolURI
    if uri == nil, let record = filter.recordID {
      guard let message = try messages(of: record).first else { return [] }
      uri = message.protocolURI
    }
    let limits = try recordLimits(of: uri, at: filter.path, atMost: QueryRules.mostLimits + 1)
    guard limits.count <= QueryRules.mostLimits else {
      throw DWNError(
        400, "RecordsFilterTooBroad",
        "the number of records is limited at more than \(QueryRules.mostLimits) places: name a protocol and a path")
    }
    return limits
  }

  /// Whether some of a filter's matches may stand deeper than right below its context, though the filter's path has one level more than
  /// the context has segments. Every definition that the protocol ever had counts: records outlive them.
  func hangsDeeper(_ filter: RecordsFilter) throws -> Bool {
    guard let uri = filter.protocolURI, let path = filter.path, filter.parentPlace(hangsDeeper: false) != nil,
      let root = path.segments.first
    else { return false }
    return try hangsDeeper(below: root, of: uri)
  }
}
