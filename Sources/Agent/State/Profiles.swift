public import Foundation
import Wire
import Identity

/// Which state directory a command means: `--state-dir`, else `MESHD_STATE_DIR`, else that of a profile.
public struct StateSelection: Sendable {
  public var stateDirectory: String?
  public var profile: String?
  public var environment: [String: String]

  public init(
    stateDirectory: String? = nil, profile: String? = nil,
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) {
    self.stateDirectory = stateDirectory
    self.profile = profile
    self.environment = environment
  }

  /// Opens the directory. With `creating`, what is missing is made; without, nothing is, and it is an error that names `meshd init`.
  public func open(creating: Bool) throws(AgentError) -> StateDirectory {
    let found = try find(creating: creating)
    return try StateDirectory(opening: found)
  }

  /// The directory for a command that only looks: nothing is made or changed.
  public func look() throws(AgentError) -> StateDirectory { try StateDirectory(lookingAt: find(creating: false)) }

  private func find(creating: Bool) throws(AgentError) -> String {
    let path: String
    if let named = stateDirectory ?? environment["MESHD_STATE_DIR"].flatMap({ $0.isEmpty ? nil : $0 }) {
      path = named
    } else {
      let home = try home()
      if !creating, !FileManager.default.fileExists(atPath: home) { throw .noProfiles }
      let wanted = profile ?? environment["ENBOX_PROFILE"].flatMap { $0.isEmpty ? nil : $0 }
      path = try Profiles(home: home).path(of: wanted, creating: creating)
    }
    if !creating { _ = try StateDirectory(lookingAt: path) }
    return path
  }

  private func home() throws(AgentError) -> String {
    if let home = environment["ENBOX_HOME"], !home.isEmpty { return home }
    guard let home = environment["HOME"], !home.isEmpty else { throw .noHome }
    return home + "/.enbox"
  }
}

/// The profiles below `~/.enbox` (or `ENBOX_HOME`), listed in `config.json`, which other programs of this family share: members
/// that are not known here are kept.
struct Profiles {
  let home: StateDirectory
  private var config: JSONObject

  init(home path: String) throws(AgentError) {
    home = try StateDirectory(opening: path)
    guard let text = try home.read("config.json") else {
      config = ["version": 1, "profiles": .object(JSONObject())]
      return
    }
    guard let object = (try? JSONValue(parsing: text))?.object, object["profiles"]?.object != nil else {
      throw .corruptFile(
        path: home.file("config.json"), reason: "it is not a list of profiles",
        advice: "repair it, or move it away and run 'meshd init'")
    }
    config = object
  }

  var names: [String] { (config["profiles"]?.object?.names ?? []).sorted() }

  func path(of wanted: String?, creating: Bool) throws(AgentError) -> String {
    if let wanted {
      try Self.check(wanted)
      guard creating || names.contains(wanted) else { throw .unknownProfile(wanted, known: names) }
      return path(of: wanted)
    }
    if let name = config["defaultProfile"]?.string, names.contains(name) { return path(of: name) }
    switch names.count {
    case 0:
      guard creating else { throw .noProfiles }
      return path(of: "default")
    case 1: return path(of: names[0])
    default: throw .severalProfiles(names)
    }
  }

  /// Enters the profile of a state directory that lies below this home, once it has an identity.
  mutating func record(_ state: StateDirectory, did: DID, now: WallTime) throws(AgentError) {
    let prefix = home.path + "/profiles/"
    guard state.path.hasPrefix(prefix), state.path.hasSuffix("/meshd") else { return }
    let name = String(state.path.dropFirst(prefix.count).dropLast("/meshd".count))
    guard !names.contains(name) else { return }
    var profiles = config["profiles"]?.object ?? JSONObject()
    profiles[name] = ["name": .string(name), "did": .string(did.text), "createdAt": .string(now.rfc3339)]
    config["profiles"] = .object(profiles)
    if config["defaultProfile"]?.string == nil { config["defaultProfile"] = .string(name) }
    try home.write("config.json", Array((JSONValue.object(config).prettyText + "\n").utf8))
  }

  private func path(of name: String) -> String { home.path + "/profiles/" + name + "/meshd" }

  private static func check(_ name: String) throws(AgentError) {
    guard (1...64).contains(name.utf8.count),
      name.utf8.allSatisfy({
        (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || $0 == 0x2d
          || $0 == 0x5f
      })
    else { throw .badProfileName(name) }
  }
}

extension StateSelection {
  /// Remembers the directory as a profile if it is one; nothing otherwise.
  func record(_ state: StateDirectory, did: DID, now: WallTime) throws(AgentError) {
    if stateDirectory != nil { return }
    if let path = environment["MESHD_STATE_DIR"], !path.isEmpty { return }
    var profiles = try Profiles(home: home())
    try profiles.record(state, did: did, now: now)
  }
}
