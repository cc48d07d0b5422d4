import Wire

/// The definitions of `protocols/`, before an anchor puts its keys into them. They are part of the program.
enum ProtocolSource {
  static let mesh = parsed(PackageResources.wireguard_mesh_json)
  static let keyDelivery = parsed(PackageResources.key_delivery_json)

  private static func parsed(_ text: [UInt8]) -> JSONValue {
    guard let json = try? JSONValue(parsing: text) else {
      preconditionFailure("a definition of protocols/ is not JSON")
    }
    return json
  }
}
