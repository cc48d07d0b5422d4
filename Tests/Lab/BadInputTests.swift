import Foundation
import Testing
import Wire

/// A command that must fail, and what its one line has to say.
struct Refusal: CustomTestStringConvertible {
  let words: [String]
  let status: Int32
  /// What the message must name; one of them is enough.
  let names: [String]

  init(_ line: String, _ status: Int32, _ names: String...) {
    words = line.split(separator: " ").map(String.init)
    self.status = status
    self.names = names
  }

  var testDescription: String { words.joined(separator: " ") }
}

extension NetworkNamespace.Outcome {
  /// Whether the command failed with this status and one line on standard error that begins with `meshd: ` and names one of
  /// these; the reason if not.
  func complaint(status wanted: Int32, naming names: [String]) -> String? {
    let lines = errors.split(separator: "\n")
    if status != wanted { return "\(status) instead of \(wanted): \(errors)\(output)" }
    if lines.count != 1 { return "\(lines.count) lines on standard error instead of one: \(errors)" }
    if !errors.hasPrefix("meshd: ") { return "the line does not begin with 'meshd: ': \(errors)" }
    if !names.isEmpty && !names.contains(where: { errors.localizedCaseInsensitiveContains($0) }) {
      return "the line names none of \(names): \(errors)"
    }
    return nil
  }
}

extension MeshdLab {
  /// What bad input gets: one line that names the thing, the right exit status, and nothing half-written.
  @Suite struct BadInputTests {
    static let someDID =
      "did:jwk:eyJrdHkiOiJPS1AiLCJjcnYiOiJFZDI1NTE5IiwieCI6ImtxTmZQeVdQZjRHcE9sdXZFNXR5TGYtNDhqUjBsSmppNXlCbmhRVi1zNEUifQ"
    static let someNetwork = "bafyreidkb7w4slt36fzuqxpzjjv53zuulbou4yqrlnyfzxp6xajoarxu24"

    static let refusals = [
      Refusal("frobnicate", 2, "frobnicate"),
      Refusal("peer frobnicate", 2, "frobnicate"),
      Refusal("up --frobnicate", 2, "--frobnicate"),
      Refusal("up --create", 2, "--create"),
      Refusal("up surplus", 2, "surplus"),
      Refusal("peer add", 2, "did"),
      Refusal("status --json=yes", 2, "json"),
      Refusal("up --create x --port 70000", 2, "port", "70000"),
      Refusal("up --create x --port many", 2, "port", "many"),
      Refusal("up --create x --mtu 100", 2, "mtu"),
      Refusal("up --create x --interface a/b", 2, "interface", "a/b"),
      Refusal("up --create x --listen nowhere", 2, "listen", "nowhere"),
      Refusal("dwn serve --data records --open --public-url notaurl", 2, "notaurl"),
      Refusal("dwn serve --data records --register --terms /dev/null", 2, "empty"),
      Refusal("dwn serve --data records --register --terms /proc/self/exe", 2, "no text", "longer"),
      Refusal("dwn serve --data records --register --terms missing", 2, "No such file"),
      Refusal(
        "dwn serve --data records --open --tls-cert missing --tls-key missing", 1, "no such file or directory"),
      Refusal("up --endpoint ftp://198.51.100.2 --anchor \(someDID) --network \(someNetwork)", 2, "ftp:"),
      Refusal(
        "up --endpoint http://198.51.100.2:8787 --anchor did:jwk:nonsense --network \(someNetwork)", 2, "anchor",
        "did:jwk:nonsense"),
      Refusal(
        "up --endpoint http://198.51.100.2:8787 --anchor \(someDID) --network nonsense", 2, "network", "nonsense"),
      Refusal("up --endpoint http://198.51.100.2:8787", 2, "--anchor", "--network"),
      Refusal("network join --endpoint http://198.51.100.2:8787 --anchor \(someDID)", 2, "--network"),
      Refusal("relay serve", 2, "exactly one of", "--open", "--members", "--state-dir"),
      Refusal("relay serve --open --members m --data d", 2, "exactly one of"),
      Refusal("relay serve --members m --state-dir s", 2, "exactly one of"),
      Refusal("relay serve --open --state-dir s", 2, "exactly one of"),
      Refusal("relay serve --open", 2, "--data"),
      Refusal("up --create x --stun nowhere", 2, "nowhere"),
      Refusal("up --create x --stun 192.0.2.1:0", 2, "192.0.2.1:0"),
      Refusal("up --create x --relay --no-relay", 2, "--no-relay"),
      Refusal("relay add https://127.0.0.1:8787", 2, "127.0.0.1"),
      Refusal("ping x -c 0", 2, "-c"),
      Refusal("ping x --timeout 2h", 2, "--timeout"),
      Refusal("ping x", 1, "meshd up"),
      Refusal("up", 1, "--create"),
      Refusal("peer list", 1, "network"),
      Refusal("acl show", 1, "network"),
      Refusal("peer add \(someDID)", 1, "network"),
      Refusal("peer approve \(someDID)", 1, "network"),
      // Nobody listens there, and the host answers so at once.
      Refusal(
        "network join --endpoint http://198.51.100.2:9 --anchor \(someDID) --network \(someNetwork)", 1,
        "198.51.100.2:9"),
      Refusal("network create x --endpoint http://198.51.100.2:9", 1, "198.51.100.2:9"),
    ]

    @Test("every wrong command is refused with one line that names the mistake, and changes nothing")
    func refused() async throws {
      try await RoutedHosts.run(1) { routed in
        let host = routed.first
        // Commands that get as far as needing an identity make one; everything else must stay as it is.
        try await host.meshd("init")
        let status = try await host.status()
        for refusal in Self.refusals {
          let before = try contents(of: host.state)
          let outcome = try await host.attempt(refusal.words)
          if let complaint = outcome.complaint(status: refusal.status, naming: refusal.names) {
            Issue.record("meshd \(refusal.testDescription): \(complaint)")
          }
          let after = try contents(of: host.state)
          if refusal.status == 2 {
            #expect(
              after == before, "meshd \(refusal.testDescription) touched the state directory: \(after.keys.sorted())")
          } else {
            #expect(decisions(after) == decisions(before), "meshd \(refusal.testDescription) kept something")
          }
          #expect(try await host.status() == status, "meshd \(refusal.testDescription) changed the status")
          #expect(try await host.isQuiet(), "meshd \(refusal.testDescription) left a process behind")
        }
      }
    }

    @Test("a wrong DID is refused by a running anchor, and its network stays as it was")
    func wrongPeer() async throws {
      try await RoutedHosts.run(1) { routed in
        try await routed.first.meshd("up", "--create", "lab")
        let before = try await routed.first.json("peer", "list")
        let head = try await routed.first.status()["head"]?["seq"]
        for wrong in ["did:jwk:nonsense", "did:web:example.com", "nonsense", "did:jwk:"] {
          let outcome = try await routed.first.attempt(["peer", "add", wrong])
          #expect(!outcome.succeeded && outcome.errors.contains(wrong), "\(wrong): \(outcome.errors)")
          #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
        }
        #expect(try await routed.first.json("peer", "list") == before)
        #expect(try await routed.first.status()["head"]?["seq"] == head)
      }
    }

    @Test("a taken node port is named, and nothing of the network is left")
    func takenNodePort() async throws {
      try await RoutedHosts.run(1) { routed in
        let host = routed.first
        let squatter = try await routed.lab.serve(["iperf3", "-s", "-p", "8787"], in: host.namespace, onTCP: 8787)
        let outcome = try await host.attempt(["up", "--create", "lab"])
        #expect(
          outcome.complaint(status: 1, naming: ["8787"]) == nil,
          "\(outcome.complaint(status: 1, naming: ["8787"]) ?? "")")
        let alone = try await eventually(.seconds(5)) { try await host.processes() == [squatter.pid] }
        #expect(alone, "a daemon goes on")

        await squatter.stop()
        try await host.meshd("up", "--create", "lab")
      }
    }

    @Test("a taken UDP port that was asked for is named")
    func takenPort() async throws {
      try await RoutedHosts.run(1) { routed in
        let other = try MeshdHost(routed.first.namespace, in: routed.lab.folder, state: "other")
        try await routed.first.meshd("up", "--create", "one", "--port", "5000")
        let outcome = try await other.attempt(["up", "--create", "two", "--listen", "0.0.0.0:8790", "--port", "5000"])
        #expect(
          outcome.complaint(status: 1, naming: ["5000"]) == nil,
          "\(outcome.complaint(status: 1, naming: ["5000"]) ?? "")")
        #expect(try await other.status()["running"]?.bool == false)
      }
    }

    @Test("without the right to make network devices, up says what it takes")
    func notAllowed() async throws {
      try await RoutedHosts.run(1) { routed in
        let host = routed.first
        let unprivileged = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--"]
        let outcome = try await host.namespace.attempt(
          unprivileged + host.typed(["meshd", "up", "--create", "lab"]), limit: .seconds(60))
        let complaint = outcome.complaint(status: 1, naming: ["CAP_NET_ADMIN", "root"])
        #expect(complaint == nil, "\(complaint ?? "")")
        #expect(try await host.isQuiet())
        #expect(!FileManager.default.fileExists(atPath: host.state.appendingPathComponent("network.json").path))
      }
    }

    @Test("without /dev/net/tun, up names it")
    func noDevice() async throws {
      try await RoutedHosts.run(1) { routed in
        let host = routed.first
        let hidden = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /dev/net && exec \"$@\"", "sh"]
        let outcome = try await host.namespace.attempt(
          hidden + host.typed(["meshd", "up", "--create", "lab"]), limit: .seconds(60))
        let complaint = outcome.complaint(status: 1, naming: ["/dev/net/tun"])
        #expect(complaint == nil, "\(complaint ?? "")")
        #expect(try await host.isQuiet())
      }
    }
  }
}

/// Every file below a folder with its bytes; sockets and locks, which come and go, left out.
func contents(of folder: URL) throws -> [String: Data] {
  var files: [String: Data] = [:]
  let walk = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: [.isRegularFileKey])
  while let url = walk?.nextObject() as? URL {
    guard try url.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile == true else { continue }
    let name = String(url.path.dropFirst(folder.path.count))
    if name.hasSuffix(".lock") || name.hasSuffix(".sock") { continue }
    files[name] = try Data(contentsOf: url)
  }
  return files
}

/// Of the contents of a state directory, the files that say what was decided. A database that was opened and a log that was written
/// say nothing; `meshd status` tells what is in the database.
func decisions(_ contents: [String: Data]) -> [String: Data] {
  contents.filter { !$0.key.contains(".sqlite") && !$0.key.hasSuffix(".log") }
}
