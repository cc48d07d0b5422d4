import DWN
import Wire

/// How deep the records of a path stand.
///
/// A record's context has a segment for each level of its path. Where the path begins with what stands for a record of another
/// protocol (`$ref`), that one level is as many segments as the other record's context has; the other protocol may have a base of its own.
extension DefinitionCache {
  /// The segments of the contexts of a path's records. `nil` if no record can stand there, since protocols that are each other's base
  /// begin nowhere. Throws when a protocol is not installed, with `refusal` as status.
  func contextDepth(
    at path: ProtocolPath, of definition: ProtocolDefinition, at time: WallTime, in reader: any MessageReader,
    refusal: Int = 400
  ) throws -> Int? {
    var depth = path.depth
    var definition = definition
    var path = path
    while let base = definition.base(of: path) {
      depth += base.path.depth - 1
      guard depth <= Self.deepest else { return nil }
      (definition, path) = (
        try self.definition(of: base.protocolURI, at: time, in: reader, refusal: refusal), base.path
      )
      // No record stands where the other protocol itself has what stands for another one.
      if definition.ruleSet(at: path)?.reference != nil { return nil }
    }
    return depth
  }

  /// As many ids as a context has room for.
  private static let deepest = 10
}
