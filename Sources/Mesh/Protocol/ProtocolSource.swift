import Wire

/// The definitions of `protocols/`, before an anchor puts its keys into them. They are part of the program.
enum ProtocolSource {
  static let mesh = parsed(PackageResources.wireguard_mesh_json)
  /// The mesh as networks with encryption v1 have it: without heads, and without what was added to relays.
  static let meshWithoutHeads: JSONValue = {
    var definition = mesh.object ?? JSONObject()
    var types = definition["types"]?.object ?? JSONObject()
    var structure = definition["structure"]?.object ?? JSONObject()
    var network = structure["network"]?.object ?? JSONObject()
    var relay = network["relay"]?.object ?? JSONObject()
    types["head"] = nil
    network["head"] = nil
    relay["$size"] = nil
    network["relay"] = .object(relay)
    structure["network"] = .object(network)
    definition["types"] = .object(types)
    definition["structure"] = .object(structure)
    return .object(definition)
  }()
  static let keyDelivery = parsed(PackageResources.key_delivery_json)

  private static func parsed(_ text: [UInt8]) -> JSONValue {
    guard let json = try? JSONValue(parsing: text) else {
      preconditionFailure("a definition of protocols/ is not JSON")
    }
    return json
  }
}
