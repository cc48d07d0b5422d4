import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import Agent

@Suite("Choice of the state directory")
struct ProfilesTests {
  private func selection(
    _ folder: TemporaryFolder, stateDirectory: String? = nil, profile: String? = nil, more: [String: String] = [:]
  ) -> StateSelection {
    StateSelection(
      stateDirectory: stateDirectory, profile: profile,
      environment: ["HOME": folder.path].merging(more) { _, new in new })
  }

  @Test("the flag comes before the variable, and the variable before the profile")
  func order() throws {
    let folder = TemporaryFolder()
    let variable = ["MESHD_STATE_DIR": folder.path + "/variable"]
    #expect(
      try selection(folder, stateDirectory: folder.path + "/flag", more: variable).open(creating: true).path
        == folder.path + "/flag")
    #expect(try selection(folder, more: variable).open(creating: true).path == folder.path + "/variable")
    #expect(
      try selection(folder).open(creating: true).path == folder.path + "/.enbox/profiles/default/meshd")
  }

  @Test("commands that need an identity say how to get one when there is no profile")
  func none() {
    let folder = TemporaryFolder()
    #expect(throws: AgentError.noProfiles) { try selection(folder).open(creating: false) }
    #expect(throws: AgentError.noProfiles) { try selection(folder).look() }
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/.enbox"))
  }

  @Test("a command that only looks makes no folder of a mistyped path, and leaves the one that is there as it is")
  func looking() throws {
    let folder = TemporaryFolder()
    let path = folder.path + "/typo"
    let selection = selection(folder, stateDirectory: path)
    #expect(throws: AgentError.noStateDirectory(path)) { try selection.look() }
    #expect(throws: AgentError.noStateDirectory(path)) { try selection.open(creating: false) }
    #expect(!FileManager.default.fileExists(atPath: path))
    let status = MeshCommands.status(without: path)
    #expect(status["running"] == false && status["notes"]?.array?.first?.string?.contains(path) == true)
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    #expect(try selection.look().path == path)
    #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o755)
    #expect(try FileManager.default.contentsOfDirectory(atPath: path) == [])
  }

  @Test("the first identity becomes the default profile, and unknown members of the file stay")
  func recorded() throws {
    let folder = TemporaryFolder()
    let home = folder.path + "/base"
    let base = try StateDirectory(opening: home)
    try base.write("config.json", Array(#"{"version":1,"profiles":{},"theme":"dark"}"#.utf8))
    let selection = selection(folder, more: ["ENBOX_HOME": home])
    let directory = try selection.open(creating: true)
    let identity = try directory.identity(orMaking: SeededRandom(5))
    try selection.record(directory, did: identity.did, now: WallTime(seconds: 1_700_000_000))
    let json = try JSONValue(parsing: try #require(try base.read("config.json")))
    #expect(json["defaultProfile"] == "default")
    #expect(json["profiles"]?["default"]?["did"]?.string == identity.did.text)
    #expect(json["theme"] == "dark")
    #expect(try selection.open(creating: false) == directory)
  }

  @Test("several profiles without a default need a choice")
  func several() throws {
    let folder = TemporaryFolder()
    let base = try StateDirectory(opening: folder.path + "/.enbox")
    try base.write("config.json", Array(#"{"version":1,"profiles":{"a":{},"b":{}}}"#.utf8))
    #expect(throws: AgentError.severalProfiles(["a", "b"])) { try selection(folder).open(creating: false) }
    #expect(throws: AgentError.unknownProfile("c", known: ["a", "b"])) {
      try selection(folder, profile: "c").open(creating: false)
    }
    let path = folder.path + "/.enbox/profiles/b/meshd"
    #expect(throws: AgentError.noStateDirectory(path)) { try selection(folder, profile: "b").open(creating: false) }
    _ = try StateDirectory(opening: path)
    #expect(try selection(folder, profile: "b").open(creating: false).path == path)
  }

  @Test("a profile's name cannot leave its folder", arguments: ["../x", "a/b", "", "a b", "ä"])
  func names(name: String) {
    let folder = TemporaryFolder()
    #expect(throws: AgentError.badProfileName(name)) { try selection(folder, profile: name).open(creating: true) }
  }
}
