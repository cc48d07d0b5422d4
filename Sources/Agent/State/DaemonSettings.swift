public import Wire

/// `settings.json`: flags of `up` that are kept, so that plain `meshd up` does the same again.
public struct DaemonSettings: Hashable, Sendable {
  /// Where the embedded node listens.
  public var listen: [SocketAddress]
  /// URLs under which others reach the embedded node; empty: found out from the machine's addresses.
  public var advertise: [String]
  /// UDP port of WireGuard; 0 until one was found.
  public var port: UInt16
  /// `nil`: the first free of `mesh0`, `mesh1`, …
  public var interface: String?
  public var mtu: Int
  /// Names of offloads that are switched off.
  public var noOffload: [String]
  /// STUN servers that are asked beside the relays, as `HOST:PORT`.
  public var stun: [String]
  /// Whether ports of a NAT are guessed where nothing else gets through.
  public var probesPorts: Bool
  /// How the embedded node resolves DIDs.
  public var dids: DIDSettings
  public var relay: RelaySettings

  public static let defaultNodePort: UInt16 = 8787
  public static let defaultMTU = 1280
  public static let defaultListen = [
    SocketAddress(IPAddress(v4: 0), port: defaultNodePort), SocketAddress(IPAddress(v6: 0), port: defaultNodePort),
  ]

  public init(
    listen: [SocketAddress] = DaemonSettings.defaultListen, advertise: [String] = [], port: UInt16 = 0,
    interface: String? = nil, mtu: Int = DaemonSettings.defaultMTU,
    noOffload: [String] = [], stun: [String] = [], probesPorts: Bool = true, dids: DIDSettings = DIDSettings(),
    relay: RelaySettings = RelaySettings()
  ) {
    self.listen = listen
    self.advertise = advertise
    self.port = port
    self.interface = interface
    self.mtu = mtu
    self.noOffload = noOffload
    self.stun = stun
    self.probesPorts = probesPorts
    self.dids = dids
    self.relay = relay
  }

  /// Keeps the first port that was found. One that is kept stays, whatever is in use this time: others may pass it on to this machine.
  ///
  /// - Returns: whether the port that is kept is in use.
  mutating func keep(portInUse: UInt16) -> Bool {
    if port == 0 { port = portInUse }
    return port == portInUse
  }

  static let file = "settings.json"

  var json: JSONValue {
    var object = JSONObject()
    object["listen"] = .array(listen.map { .string("\($0)") })
    object["advertise"] = .array(advertise.map { .string($0) })
    object["port"] = .integer(Int64(port))
    object["interface"] = interface.map { .string($0) }
    object["mtu"] = .integer(Int64(mtu))
    if !noOffload.isEmpty { object["noOffload"] = .array(noOffload.map { .string($0) }) }
    if !stun.isEmpty { object["stun"] = .array(stun.map { .string($0) }) }
    if !probesPorts { object["portProbing"] = false }
    object["didDHTGateway"] = dids.gateway.map { .string($0) }
    if dids.allowsPrivateHosts { object["allowPrivateDIDHosts"] = true }
    object["relay"] = relay.json
    return .object(object)
  }

  init?(_ json: JSONValue) {
    guard let listen = json["listen"]?.array, let advertise = json["advertise"]?.array,
      let port = json["port"]?.integer.flatMap({ UInt16(exactly: $0) }),
      let mtu = json["mtu"]?.integer, (1280...9000).contains(mtu)
    else { return nil }
    let addresses = listen.compactMap { $0.string.flatMap { SocketAddress($0) } }
    guard addresses.count == listen.count else { return nil }
    self.init(
      listen: addresses, advertise: advertise.compactMap(\.string), port: port,
      interface: json["interface"]?.string, mtu: Int(mtu),
      noOffload: (json["noOffload"]?.array ?? []).compactMap(\.string),
      stun: (json["stun"]?.array ?? []).compactMap(\.string), probesPorts: json["portProbing"]?.bool ?? true,
      dids: DIDSettings(
        gateway: json["didDHTGateway"]?.string, allowsPrivateHosts: json["allowPrivateDIDHosts"]?.bool ?? false),
      relay: json["relay"].flatMap { RelaySettings($0) } ?? RelaySettings())
  }
}

extension StateDirectory {
  /// The defaults if nothing was kept yet.
  public func loadSettings() throws(AgentError) -> DaemonSettings {
    guard let text = try read(DaemonSettings.file) else { return DaemonSettings() }
    guard let json = try? JSONValue(parsing: text), let settings = DaemonSettings(json) else {
      throw .corruptFile(
        path: file(DaemonSettings.file), reason: "it does not hold the flags of 'meshd up'",
        advice: "remove it, and give the flags again")
    }
    return settings
  }

  public func save(_ settings: DaemonSettings) throws(AgentError) {
    let text = Array((settings.json.prettyText + "\n").utf8)
    // A full disk keeps nobody from going on with what is there.
    if let there = try? read(DaemonSettings.file), there == text { return }
    try write(DaemonSettings.file, text)
  }
}
