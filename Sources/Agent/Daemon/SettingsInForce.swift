import Cryptography
import Engine
import Identity

extension DaemonSettings {
  /// With the flags that were given this time.
  func updated(by request: UpRequest) -> DaemonSettings {
    var settings = self
    if !request.listen.isEmpty { settings.listen = request.listen }
    if !request.advertise.isEmpty { settings.advertise = request.advertise.filter { $0 != "none" } }
    if let port = request.port { settings.port = port }
    if let interface = request.interface { settings.interface = interface }
    if let mtu = request.mtu { settings.mtu = mtu }
    settings.relay = settings.relay.updated(by: request.relay)
    if let gateway = request.didGateway { settings.dids.gateway = gateway == "none" ? nil : gateway }
    if let allows = request.allowsPrivateDIDHosts { settings.dids.allowsPrivateHosts = allows }
    if !request.noOffload.isEmpty { settings.noOffload = request.noOffload.filter { $0 != "none" } }
    if !request.stun.isEmpty { settings.stun = request.stun.filter { $0 != "none" } }
    if let probesPorts = request.probesPorts { settings.probesPorts = probesPorts }
    return settings
  }

  func engine(
    _ identity: MachineIdentity, discoKey: X25519PrivateKey, _ request: UpRequest
  ) -> EngineConfiguration {
    var configuration = EngineConfiguration(
      privateKey: identity.wireGuardKey, interfaceName: interface, mtu: mtu, port: request.port,
      preferredPort: port == 0 ? EngineConfiguration.usualPort : port,
      discoKey: discoKey, probesPorts: probesPorts, stunServers: stun.compactMap { STUNHost($0) })
    // A name that only another version knows switches nothing off.
    if let offloads = EngineConfiguration.offloads(without: noOffload) { configuration.offloads = offloads }
    return configuration
  }
}
