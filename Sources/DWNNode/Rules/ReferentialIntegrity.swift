import DWN
import Identity
import Wire

/// Whether a write fits where it wants to stand, by its protocol (dwn-server 6.2). Refusals have status 400.
struct ReferentialIntegrity {
  let tenant: DID
  let reader: any MessageReader
  let definition: ProtocolDefinition
  /// Of the other protocols that this one uses.
  let definitions: DefinitionCache
  /// Whether encryption is refused where it is not required, as the newest upstream does (dwn-server 15).
  let isStrict: Bool

  /// The rule set that governs the record. `initial` is the first write of the record, once there is one.
  func check(_ write: RecordsWrite, initial: StoredMessage?) throws -> RuleSet {
    try checkType(write)
    if let rules = definition.ruleSet(at: write.path) {
      try EnvelopeRules(tenant: tenant, reader: reader, definition: definition, definitions: definitions)
        .check(write, rules)
    }
    try checkParent(write)
    guard let rules = definition.ruleSet(at: write.path), rules.reference == nil else {
      throw refused("MissingRuleSet", "\(definition.uri) has no records at \(write.path)")
    }
    try checkRole(write, rules)
    try checkContent(write, rules)
    try checkSquash(write, rules, initial: initial)
    return rules
  }

  private func checkType(_ write: RecordsWrite) throws {
    let name = write.path.typeName
    guard let type = definition.types[name] else {
      throw refused("InvalidType", "\(name) is no type of \(definition.uri)")
    }
    if let schema = type.schema, schema != write.schema {
      throw refused("InvalidSchema", "records of type \(name) have the schema \(schema)")
    }
    if let formats = type.dataFormats, !formats.contains(write.dataFormat) {
      throw refused("IncorrectDataFormat", "records of type \(name) have a data format of \(formats)")
    }
    if type.encryptionRequired, write.encryption == nil {
      throw refused("EncryptionRequired", "records of type \(name) are encrypted")
    }
    if isStrict, !type.encryptionRequired, write.encryption != nil {
      throw refused("EncryptionNotAllowed", "records of type \(name) are in clear")
    }
  }

  private func checkParent(_ write: RecordsWrite) throws {
    guard let parentID = write.parentID else { return }
    let reference = write.path.parent.flatMap { definition.ruleSet(at: $0)?.reference }
    let home = write.path.parent.flatMap { definition.target(of: PathReference($0)) }
    guard let place = try reader.place(of: parentID), place.protocolURI == home?.protocolURI else {
      throw refused(
        reference == nil ? "ParentRecordNotFound" : "CrossProtocolParentNotFound",
        "the parent \(parentID) is not here, or it was deleted")
    }
    guard place.path == home?.path else {
      throw refused(
        "IncorrectProtocolPath", "the parent stands at \(place.path), which is not right above \(write.path)")
    }
    guard write.contextID == ContextID(place.contextID, write.recordID) else {
      throw refused("IncorrectContextId", "contextId must be that of the parent followed by the record's id")
    }
  }

  private func checkRole(_ write: RecordsWrite, _ rules: RuleSet) throws {
    if rules.isRole, write.recipient == nil {
      throw refused("RoleMissingRecipient", "a role record names its holder as recipient")
    }
  }

  private func checkContent(_ write: RecordsWrite, _ rules: RuleSet) throws {
    if let smallest = rules.smallestSize, write.dataSize < smallest {
      throw refused("MinSizeInvalid", "data at \(write.path) has at least \(smallest) bytes")
    }
    if let largest = rules.largestSize, write.dataSize > largest {
      throw refused("MaxSizeInvalid", "data at \(write.path) has at most \(largest) bytes")
    }
    if let tags = rules.tags {
      do { try tags.check(write.tags) } catch { throw refused("TagsInvalidSchema", "tags at \(write.path): \(error)") }
    }
    if rules.isImmutable, !write.isInitial {
      throw refused("ImmutableRecord", "records at \(write.path) are never changed")
    }
  }

  /// A later write of a record that began with a squash repeats the member, which cannot change, and squashes nothing.
  private func checkSquash(_ write: RecordsWrite, _ rules: RuleSet, initial: StoredMessage?) throws {
    guard write.squash else { return }
    guard rules.allowsSquash else { throw refused("SquashNotEnabled", "records at \(write.path) cannot be squashed") }
    guard write.isInitial || initial?.content?.isSquash == true else {
      throw refused("SquashNotInitialWrite", "only a first write can squash")
    }
  }

  private func refused(_ code: String, _ text: String) -> DWNError {
    DWNError(400, "ProtocolAuthorization" + code, text)
  }
}
