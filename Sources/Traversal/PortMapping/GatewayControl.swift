import Wire

/// The calls of a router's UPnP service, as SOAP, and what it answers.
struct GatewayControl: Hashable {
  let service: GatewayDevice.Service

  /// A call: the body of an HTTP POST, and the header `SOAPAction`.
  struct Call: Hashable {
    var action: String
    var body: [UInt8]
  }

  /// What came back.
  enum Answer: Hashable {
    /// The arguments by name.
    case done([String: String])
    /// A UPnP error (WANIPConnection:2 §2.5): 402 invalid arguments, 718 conflict, 725 only permanent leases, …
    case refused(Int)
    case nonsense
  }

  static let onlyPermanentLeases = 725
  static let invalidArguments = 402
  static let conflict = 718

  func externalAddress() -> Call { call("GetExternalIPAddress", []) }
  func status() -> Call { call("GetStatusInfo", []) }

  /// A lease of 0 seconds is for ever.
  func add(_ port: PortMapping.Port, external: UInt16, to host: IPAddress, lease: UInt32) -> Call {
    call(
      service.choosesPort ? "AddAnyPortMapping" : "AddPortMapping",
      [
        ("NewRemoteHost", ""), ("NewExternalPort", "\(external)"), ("NewProtocol", Self.name(port.transport)),
        ("NewInternalPort", "\(port.number)"), ("NewInternalClient", "\(host)"), ("NewEnabled", "1"),
        ("NewPortMappingDescription", PortMapping.description), ("NewLeaseDuration", "\(lease)"),
      ])
  }

  func delete(external: UInt16, _ transport: PortMapping.Transport) -> Call {
    call(
      "DeletePortMapping",
      [("NewRemoteHost", ""), ("NewExternalPort", "\(external)"), ("NewProtocol", Self.name(transport))])
  }

  /// Reads the answer to a call of `action`.
  static func answer(_ body: [UInt8], to action: String) -> Answer {
    guard let root = try? XMLNode(parsing: body), root.name == "Envelope", let content = root["Body"] else {
      return .nonsense
    }
    if let fault = content["Fault"] {
      return fault.descendant("errorCode").flatMap { Int($0.text) }.map { .refused($0) } ?? .nonsense
    }
    guard let result = content[action + "Response"] else { return .nonsense }
    return .done(Dictionary(result.children.map { ($0.name, $0.text) }) { first, _ in first })
  }

  /// The address of an answer to `externalAddress`, if anybody could be at it.
  static func externalAddress(in body: [UInt8]) -> IPAddress? {
    guard case .done(let arguments) = answer(body, to: "GetExternalIPAddress") else { return nil }
    return arguments["NewExternalIPAddress"].flatMap { IPAddress($0) }.flatMap { PortMapping.isUsable($0) ? $0 : nil }
  }

  private func call(_ action: String, _ arguments: [(String, String)]) -> Call {
    // None of the values has a character that XML would need written otherwise.
    let inner = arguments.map { "<\($0.0)>\($0.1)</\($0.0)>" }.joined()
    let body =
      "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" "
      + "s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>"
      + "<u:\(action) xmlns:u=\"\(service.type)\">\(inner)</u:\(action)></s:Body></s:Envelope>\r\n"
    return Call(action: "\"\(service.type)#\(action)\"", body: Array(body.utf8))
  }

  private static func name(_ transport: PortMapping.Transport) -> String { transport == .udp ? "UDP" : "TCP" }
}
