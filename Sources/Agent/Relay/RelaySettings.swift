public import Wire

/// Flags of `up` about a relay that this machine runs: kept, like those of its node.
public struct RelaySettings: Hashable, Sendable {
  public static let defaultPort: UInt16 = 8788
  public static let defaultListen = [
    SocketAddress(IPAddress(v4: 0), port: defaultPort), SocketAddress(IPAddress(v6: 0), port: defaultPort),
  ]

  /// `nil`: the machine whose daemon runs the node of a network runs its relay, others run none.
  public var isOn: Bool?
  /// Where a relay listens that is not behind a node's port; empty: the default.
  public var listen: [SocketAddress]
  /// `HOST` or `HOST:PORT` under which others reach such a relay; empty: found out from the machine's addresses.
  public var advertise: [String]

  public init(isOn: Bool? = nil, listen: [SocketAddress] = [], advertise: [String] = []) {
    self.isOn = isOn
    self.listen = listen
    self.advertise = advertise
  }

  /// With the flags that were given this time. `none` takes back what was advertised.
  func updated(by given: RelaySettings) -> RelaySettings {
    RelaySettings(
      isOn: given.isOn ?? isOn, listen: given.listen.isEmpty ? listen : given.listen,
      advertise: given.advertise.isEmpty ? advertise : given.advertise.filter { $0 != "none" })
  }

  /// Refuses what nobody can reach. Throws `AgentError.badArgument`.
  func check() throws(AgentError) {
    for text in advertise where text != "none" && RelayPlace.url(text, defaultPort: Self.defaultPort) == nil {
      throw .badArgument("--relay-advertise takes HOST or HOST:PORT, and \"\(text)\" is neither")
    }
  }

  /// The flags again.
  var arguments: [String] {
    (isOn.map { [$0 ? "--relay" : "--no-relay"] } ?? []) + listen.map { "--relay-listen=\($0)" }
      + advertise.map { "--relay-advertise=\($0)" }
  }

  /// `nil` where nothing was said.
  var json: JSONValue? {
    guard self != RelaySettings() else { return nil }
    var object = JSONObject()
    object["on"] = isOn.map { .bool($0) }
    if !listen.isEmpty { object["listen"] = .array(listen.map { .string("\($0)") }) }
    if !advertise.isEmpty { object["advertise"] = .array(advertise.map { .string($0) }) }
    return .object(object)
  }

  init?(_ json: JSONValue) {
    let texts = (json["listen"]?.array ?? []).compactMap(\.string)
    let addresses = texts.compactMap { SocketAddress($0) }
    guard addresses.count == texts.count else { return nil }
    self.init(
      isOn: json["on"]?.bool, listen: addresses, advertise: (json["advertise"]?.array ?? []).compactMap(\.string))
  }
}
