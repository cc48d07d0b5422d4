import Identity
public import Wire

extension RecordsFilter {
  public var json: JSONValue {
    var object = JSONObject()
    object["protocol"] = protocolURI.map { .string($0) }
    object["protocolPath"] = path.map { .string($0.text) }
    object["schema"] = schema.map { .string($0) }
    object["recordId"] = recordID.map { .string($0.text) }
    object["parentId"] = parentID.map { .string($0.text) }
    object["contextId"] = contextID.map { .string($0.text) }
    object["dataFormat"] = dataFormat.map { .string($0) }
    object["dataCid"] = dataCID.map { .string($0) }
    object["author"] = Self.json(author)
    object["recipient"] = Self.json(recipient)
    object["attester"] = attester.map { .string($0.text) }
    object["published"] = published.map { .bool($0) }
    object["dataSize"] = dataSize.map { ["gte": .integer($0.lowerBound), "lte": .integer($0.upperBound)] }
    object["dateCreated"] = dateCreated?.json
    object["datePublished"] = datePublished?.json
    object["dateUpdated"] = dateUpdated?.json
    if !tags.isEmpty {
      object["tags"] = .object(JSONObject(tags.sorted { $0.key < $1.key }.map { ($0.key, $0.value.json) }))
    }
    return .object(object)
  }

  private static func json(_ dids: [DID]) -> JSONValue? {
    switch dids.count {
    case 0: nil
    case 1: .string(dids[0].text)
    default: .array(dids.map { .string($0.text) })
    }
  }

  /// Throws status 400 for an unknown member, a wrong type, or no member at all.
  public init(_ json: JSONValue) throws(DWNError) {
    guard let object = json.object, !object.isEmpty else {
      throw .schema("a filter is an object with at least one member")
    }
    self.init()
    for (name, value) in object.members {
      let isValid: Bool
      switch name {
      case "protocol":
        protocolURI = value.string
        if let protocolURI { try URI.check(protocolURI: protocolURI, "filter.protocol") }
        isValid = protocolURI != nil
      case "schema":
        schema = value.string
        if let schema { try URI.check(schema: schema, "filter.schema") }
        isValid = schema != nil
      case "protocolPath":
        path = value.string.flatMap { ProtocolPath($0) }
        isValid = path != nil
      case "recordId":
        recordID = value.string.flatMap { RecordID($0) }
        isValid = recordID != nil
      case "parentId":
        parentID = value.string.flatMap { RecordID($0) }
        isValid = parentID != nil
      case "contextId":
        contextID = value.string.flatMap { ContextID($0) }
        isValid = contextID != nil
      case "dataFormat":
        dataFormat = value.string
        isValid = dataFormat != nil
      case "dataCid":
        dataCID = value.string
        isValid = dataCID != nil
      case "author":
        guard let dids = Self.dids(value) else { throw .filter(name) }
        author = dids
        isValid = true
      case "recipient":
        guard let dids = Self.dids(value) else { throw .filter(name) }
        recipient = dids
        isValid = true
      case "attester":
        attester = value.string.flatMap { DID($0) }
        isValid = attester != nil
      case "published":
        published = value.bool
        isValid = published != nil
      case "dataSize":
        dataSize = Self.sizes(value)
        isValid = dataSize != nil
      case "dateCreated":
        dateCreated = DateRange(value)
        isValid = dateCreated != nil
      case "datePublished":
        datePublished = DateRange(value)
        isValid = datePublished != nil
      case "dateUpdated":
        dateUpdated = DateRange(value)
        isValid = dateUpdated != nil
      case "tags":
        guard let members = value.object, (1...10).contains(members.count) else { throw .filter(name) }
        for (tag, condition) in members.members {
          // Two names that look alike would be one here.
          guard let filter = TagFilter(condition), tags[tag] == nil else { throw .filter("tags.\(tag)") }
          tags[tag] = filter
        }
        isValid = true
      default: throw .additional("filter.\(name) is no known member")
      }
      guard isValid else { throw .filter(name) }
    }
    if datePublished != nil, published == false { throw .filter("datePublished") }
  }

  private static func dids(_ value: JSONValue) -> [DID]? {
    if let text = value.string { return DID(text).map { [$0] } }
    guard let list = value.array, list.count <= 100 else { return nil }
    let dids = list.compactMap { $0.string.flatMap { DID($0) } }
    return dids.count == list.count ? dids : nil
  }

  /// Whole numbers within a range of numbers. What holds none is a size that no data has.
  private static func sizes(_ value: JSONValue) -> ClosedRange<Int64>? {
    guard let object = value.object, !object.isEmpty,
      object.names.allSatisfy({ ["gt", "gte", "lt", "lte"].contains($0) }),
      object.members.allSatisfy({ $0.value.double != nil }),
      !(object.contains("gt") && object.contains("gte")), !(object.contains("lt") && object.contains("lte"))
    else { return nil }
    let lower = object["gte"]?.double?.rounded(.up) ?? object["gt"]?.double.map { $0.rounded(.down) + 1 } ?? 0
    let greatest = Double(JSONValue.greatestInteger)
    let upper = object["lte"]?.double?.rounded(.down) ?? object["lt"]?.double.map { $0.rounded(.up) - 1 } ?? greatest
    guard lower <= upper, lower <= greatest, upper >= 0 else { return -1 ... -1 }
    return Int64(max(lower, 0))...Int64(min(upper, greatest))
  }
}

extension RecordsFilter.DateRange {
  var json: JSONValue {
    var object = JSONObject()
    object["from"] = from.map { .string($0.timestamp) }
    object["to"] = to.map { .string($0.timestamp) }
    return .object(object)
  }

  init?(_ json: JSONValue) {
    guard let object = json.object, !object.isEmpty else { return nil }
    for (name, value) in object.members {
      guard let time = value.string.flatMap({ WallTime(timestamp: $0) }) else { return nil }
      switch name {
      case "from": from = time
      case "to": to = time
      default: return nil
      }
    }
  }
}

extension RecordsFilter.TagFilter {
  var json: JSONValue {
    switch self {
    case .equals(let value): return value
    case .startsWith(let prefix): return ["startsWith": .string(prefix)]
    case .range(let lower, let upper):
      var object = JSONObject()
      if let lower { object[lower.isInclusive ? "gte" : "gt"] = lower.value }
      if let upper { object[upper.isInclusive ? "lte" : "lt"] = upper.value }
      return .object(object)
    }
  }

  init?(_ json: JSONValue) {
    switch json {
    case .string, .integer, .number, .bool: self = .equals(json)
    case .object(let object):
      if object.count == 1, let prefix = object["startsWith"]?.string {
        self = .startsWith(prefix)
        return
      }
      var lower: Bound?
      var upper: Bound?
      for (name, value) in object.members {
        guard value.string != nil || value.double != nil else { return nil }
        switch name {
        case "gt", "gte":
          guard lower == nil else { return nil }
          lower = Bound(value: value, isInclusive: name == "gte")
        case "lt", "lte":
          guard upper == nil else { return nil }
          upper = Bound(value: value, isInclusive: name == "lte")
        default: return nil
        }
      }
      // Both bounds are of one type: a range of texts or of numbers.
      guard lower != nil || upper != nil,
        ((lower ?? upper)?.value.string != nil) == ((upper ?? lower)?.value.string != nil)
      else { return nil }
      self = .range(lower: lower, upper: upper)
    default: return nil
    }
  }
}

extension DWNError {
  fileprivate static func filter(_ name: String) -> DWNError {
    DWNError(400, "SchemaValidatorFailure", "filter.\(name) is not a filter member of the right form")
  }
}
