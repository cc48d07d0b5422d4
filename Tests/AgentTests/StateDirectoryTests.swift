import Cryptography
import DWN
import Engine
import Foundation
import Identity
import TestSupport
import Testing
import Wire

@testable import Agent

@Suite("State directory")
struct StateDirectoryTests {
  @Test("is made for its owner alone, also when it was open before")
  func permissions() throws {
    let folder = TemporaryFolder()
    try FileManager.default.createDirectory(
      atPath: folder.path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    let directory = try StateDirectory(opening: folder.path)
    #expect(try mode(directory.path) == 0o700)
    try directory.write("identity.json", [1, 2, 3])
    #expect(try mode(directory.file("identity.json")) == 0o600)
  }

  @Test("a folder with other things in it that others may enter is refused and left as it is")
  func foreign() throws {
    let folder = TemporaryFolder()
    try FileManager.default.createDirectory(
      atPath: folder.path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    _ = FileManager.default.createFile(atPath: folder.path + "/letter.txt", contents: Data())
    #expect {
      _ = try StateDirectory(opening: folder.path)
    } throws: {
      "\($0)".contains(folder.path)
    }
    #expect(try mode(folder.path) == 0o755)
    _ = FileManager.default.createFile(atPath: folder.path + "/identity.json", contents: Data())
    _ = try StateDirectory(opening: folder.path)
    #expect(try mode(folder.path) == 0o700)
  }

  @Test("a folder of another program is not taken for one of this because of a name that many have")
  func commonNames() throws {
    let folder = TemporaryFolder()
    try FileManager.default.createDirectory(
      atPath: folder.path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    for name in ["config.json", "settings.json", "letter.txt"] {
      _ = FileManager.default.createFile(atPath: folder.path + "/" + name, contents: Data())
    }
    #expect(throws: AgentError.self) { _ = try StateDirectory(opening: folder.path) }
    #expect(try mode(folder.path) == 0o755)
    try FileManager.default.removeItem(atPath: folder.path + "/letter.txt")
    _ = try StateDirectory(opening: folder.path)
    #expect(try mode(folder.path) == 0o700, "there is nothing else in it")
  }

  @Test("the first port that is found is kept, and not given up for another that is in use once")
  func keptPort() {
    var settings = DaemonSettings()
    #expect(settings.keep(portInUse: 41641) && settings.port == 41641)
    #expect(!settings.keep(portInUse: 5) && settings.port == 41641)
  }

  @Test("a file that is made once is never replaced, and the second to come learns of the first")
  func madeOnce() throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    #expect(try directory.create("a", [1]))
    #expect(try !directory.create("a", [2]))
    #expect(try directory.read("a") == [1])
    #expect(try mode(directory.file("a")) == 0o600)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["a"])
  }

  @Test("many that ask for the first identity at once get the same one")
  func oneIdentity() async throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    let dids = try await withThrowingTaskGroup(of: DID.self) { group in
      for seed in 1...16 {
        group.addTask { try directory.identity(orMaking: SeededRandom(UInt64(seed))).did }
      }
      return try await group.reduce(into: Set()) { $0.insert($1) }
    }
    #expect(dids.count == 1)
    #expect(try directory.loadIdentity()?.did == dids.first)
  }

  @Test("replaces a file as a whole and leaves no temporary file")
  func replace() throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    try directory.write("a", Array("old".utf8))
    try directory.write("a", Array("new".utf8))
    #expect(try directory.read("a") == Array("new".utf8))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["a"])
    #expect(try directory.read("b") == nil)
  }

  @Test("a path that is a file is refused with its name")
  func notAFolder() throws {
    let folder = TemporaryFolder()
    try FileManager.default.createDirectory(atPath: folder.path, withIntermediateDirectories: true)
    let path = folder.path + "/file"
    _ = FileManager.default.createFile(atPath: path, contents: Data())
    #expect {
      _ = try StateDirectory(opening: path)
    } throws: {
      "\($0)".contains(path)
    }
  }

  @Test("a folder that cannot be made is refused with the system's reason, and those above it are made where they can")
  func unmakeable() throws {
    #expect(throws: AgentError.unusableStateDirectory(path: "/proc/x/y", reason: "No such file or directory")) {
      _ = try StateDirectory(opening: "/proc/x/y")
    }
    let folder = TemporaryFolder()
    let deep = try StateDirectory(opening: folder.path + "/a/b/c/")
    #expect(try FileManager.default.attributesOfItem(atPath: deep.path)[.posixPermissions] as? Int == 0o700)
  }

  @Test("a socket's path that is too long for the kernel moves below /run/meshd")
  func socketPath() throws {
    let folder = TemporaryFolder()
    let short = try StateDirectory(opening: folder.path)
    #expect(short.socketPath == folder.path + "/meshd.sock")
    let long = try StateDirectory(opening: folder.path + "/" + String(repeating: "d", count: 100))
    #expect(long.socketPath.hasPrefix("/run/meshd/"))
    #expect(long.socketPath.hasSuffix(".sock"))
    #expect(long.socketPath.utf8.count == "/run/meshd/".utf8.count + 16 + 5)
  }

  @Test("is locked by one at a time, and free again when that one is gone")
  func lock() throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    do {
      let first = try DaemonLock(directory)
      let second = try DaemonLock(directory)
      #expect(first != nil && second == nil)
    }
    let third = try DaemonLock(directory)
    #expect(third != nil)
  }

  @Test("makes an identity once and gives the same one afterwards")
  func identity() throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    #expect(try directory.loadIdentity() == nil)
    let random = SeededRandom(7)
    let identity = try directory.identity(orMaking: random)
    #expect(try directory.identity(orMaking: random).did == identity.did)
    #expect(try directory.loadIdentity()?.did == identity.did)
  }

  @Test("a damaged identity file is named, and never replaced", arguments: ["", "{", "{}", #"{"privateKey":"AAAA"}"#])
  func damagedIdentity(text: String) throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    try directory.write("identity.json", Array(text.utf8))
    #expect {
      _ = try directory.identity(orMaking: SeededRandom(1))
    } throws: {
      "\($0)".contains("identity.json")
    }
    #expect(try directory.read("identity.json") == Array(text.utf8))
  }

  @Test("network and settings come back as they were saved")
  func roundTrip() throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    let identity = try directory.identity(orMaking: SeededRandom(3))
    var network = NetworkState(
      networkID: RecordID("bafyreidkb7w4slt36fzuqxpzjjv53zuulbou4yqrlnyfzxp6xajoarxu24")!, anchor: identity.did,
      name: "home", endpoints: ["http://192.0.2.1:8787", "http://[2001:db8::1]:8787"], embedsNode: true,
      replicas: ["https://dwn.example.org"], meshIP: "10.200.1.2")
    (network.left, network.leftAt) = (["https://former.example.org"], WallTime(seconds: 1_795_000_000))
    try directory.save(network)
    #expect(try directory.loadNetwork() == network)
    let settings = DaemonSettings(
      listen: [SocketAddress("127.0.0.1:9000")!], advertise: ["http://example.org:9000"], port: 4000,
      interface: "mesh7", mtu: 1400, dids: DIDSettings(gateway: "https://dht.example.org", allowsPrivateHosts: true))
    try directory.save(settings)
    #expect(try directory.loadSettings() == settings)
  }

  @Test("whether ports are guessed is kept until somebody says otherwise, and is what the engine gets")
  func portProbing() throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    let identity = try directory.identity(orMaking: SeededRandom(4))
    func next(_ probesPorts: Bool?) throws -> Bool {
      let request = UpRequest(probesPorts: probesPorts)
      let settings = try directory.loadSettings().updated(by: request)
      try directory.save(settings)
      return settings.engine(identity, discoKey: X25519PrivateKey(random: SeededRandom(5)), request).probesPorts
    }
    #expect(try [nil, false, nil, true, nil].map(next) == [true, false, false, true, true])
    #expect(UpRequest(probesPorts: false).arguments == ["--no-port-probing"])
  }

  @Test("a settings file with anything else in it is refused")
  func damagedSettings() throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    try directory.write("settings.json", Array(#"{"listen":["nonsense"],"advertise":[],"port":1,"mtu":1280}"#.utf8))
    #expect(throws: AgentError.self) { try directory.loadSettings() }
  }

  private func mode(_ path: String) throws -> Int {
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    return (attributes[.posixPermissions] as? Int) ?? 0
  }
}

/// A folder that goes away with the value.
final class TemporaryFolder: Sendable {
  let path = NSTemporaryDirectory() + "meshd-\(UInt64.random(in: 0...UInt64.max))"

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
