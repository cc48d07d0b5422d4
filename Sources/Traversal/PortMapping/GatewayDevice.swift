import Wire

/// What a router's UPnP description offers for mapping ports (Internet Gateway Device 1 and 2).
enum GatewayDevice {
  /// A service that maps ports.
  struct Service: Hashable {
    /// The whole name, as SOAP wants it.
    var type: String
    /// Where it is spoken to: an absolute path, perhaps with a query.
    var path: String

    /// From version 2 on the router may choose another external port.
    var choosesPort: Bool { type.hasSuffix(":WANIPConnection:2") }
  }

  /// Newest first; then what routers had before the standard.
  private static let types = [
    "urn:schemas-upnp-org:service:WANIPConnection:2", "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1", "urn:dslforum-org:service:WANIPConnection:1",
    "urn:dslforum-org:service:WANPPPConnection:1",
  ]

  /// Services that are tried.
  static let maximumServices = 8

  /// The services of a description that map ports, in the order in which they should be tried. None if it is no description.
  static func services(_ description: [UInt8]) -> [Service] {
    guard let root = try? XMLNode(parsing: description) else { return [] }
    let base = root["URLBase"]?.text ?? ""
    var found: [Service] = []
    func collect(_ device: XMLNode) {
      for service in device["serviceList"]?.children ?? [] where service.name == "service" {
        guard let type = service["serviceType"]?.text, types.contains(type),
          let path = path(service["controlURL"]?.text ?? "", base: base)
        else { continue }
        found.append(Service(type: type, path: path))
      }
      for child in device["deviceList"]?.children ?? [] where child.name == "device" { collect(child) }
    }
    for device in root.children where device.name == "device" { collect(device) }
    let ranked = types.flatMap { type in found.filter { $0.type == type } }
    return Array(ranked.prefix(maximumServices))
  }

  /// What to ask for, of what a router gave as a URL: only the path, since nobody but the gateway is spoken to.
  static func path(_ url: String, base: String = "") -> String? {
    guard url.utf8.count <= 1024, url.utf8.allSatisfy({ (0x21...0x7e).contains($0) }), !url.isEmpty else { return nil }
    if let (_, path) = split(url) { return path }
    if url.hasPrefix("/") { return url }
    let folder = split(base).map { $0.path.prefix(through: $0.path.lastIndex(of: "/") ?? $0.path.startIndex) } ?? "/"
    return folder + url
  }

  /// The port and path of an `http` URL; whatever host it names.
  static func split(_ url: String) -> (port: UInt16, path: String)? {
    guard url.lowercased().hasPrefix("http://"), url.utf8.count <= 1024,
      url.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
    else { return nil }
    let rest = url.dropFirst("http://".count)
    let authority = rest.prefix { $0 != "/" }
    let path = rest.dropFirst(authority.count)
    let host = authority.hasPrefix("[") ? authority.drop { $0 != "]" } : authority
    guard !authority.isEmpty, let colon = host.firstIndex(of: ":") else {
      return authority.isEmpty ? nil : (80, path.isEmpty ? "/" : String(path))
    }
    guard let port = UInt16(host[host.index(after: colon)...]), port > 0 else { return nil }
    return (port, path.isEmpty ? "/" : String(path))
  }
}
