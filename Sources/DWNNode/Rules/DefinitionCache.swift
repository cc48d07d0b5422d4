import DWN
import Synchronization
import Wire

/// Parsed definitions by the CID of the message that installed them, so that a write does not parse its protocol anew; and those
/// that every tenant has without installing them.
final class DefinitionCache: Sendable {
  private static let capacity = 64
  private let builtIn: [String: ProtocolDefinition]
  private let known = Mutex<[String: ProtocolDefinition]>([:])

  init() {
    do {
      builtIn = [
        PermissionsProtocol.uri: try PermissionsProtocol.definition(),
        EncryptionProtocol.uri: try EncryptionProtocol.definition(),
      ]
    } catch {
      preconditionFailure("a built-in protocol is invalid: \(error)")
    }
  }

  static func isBuiltIn(_ uri: String) -> Bool { uri == PermissionsProtocol.uri || uri == EncryptionProtocol.uri }

  /// The rules for what acts on a protocol's records at a time.
  func rules(
    of protocolURI: String, at time: WallTime, in reader: any MessageReader, refusal: Int = 400
  ) throws -> RecordRules {
    RecordRules(
      reader: reader, definition: try definition(of: protocolURI, at: time, in: reader, refusal: refusal),
      definitions: self, time: time)
  }

  /// The definition that governs a protocol's messages of a time (dwn-server 6.1). Throws when none is installed: for who reads
  /// this is one more reason to be shown nothing, and `refusal` is 401.
  func definition(
    of protocolURI: String, at time: WallTime, in reader: any MessageReader, refusal: Int = 400
  ) throws -> ProtocolDefinition {
    if let definition = builtIn[protocolURI] { return definition }
    let cid = try reader.configureCID(of: protocolURI, at: time)
    if let cid, let definition = known.withLock({ $0[cid] }) { return definition }
    guard let cid, let configure = try reader.message(cid: cid) else {
      throw DWNError(
        refusal, "ProtocolAuthorizationProtocolNotFound", "the tenant has not installed the protocol \(protocolURI)")
    }
    return try definition(of: configure)
  }

  /// The definition that a message installed; `nil` if the message is not there.
  func definition(cid: String, in reader: any MessageReader) throws -> ProtocolDefinition? {
    if let definition = known.withLock({ $0[cid] }) { return definition }
    return try reader.message(cid: cid).map { try definition(of: $0) }
  }

  func definition(of configure: StoredMessage) throws -> ProtocolDefinition {
    if let definition = known.withLock({ $0[configure.cid] }) { return definition }
    guard let json = try configure.message()["descriptor"]?["definition"] else {
      throw DWNError(
        400, "ProtocolAuthorizationProtocolNotFound", "the definition of \(configure.protocolURI) cannot be read")
    }
    let definition = try ProtocolDefinition(json)
    known.withLock {
      if $0.count >= Self.capacity { $0 = [:] }
      $0[configure.cid] = definition
    }
    return definition
  }
}
