import Foundation
import Glibc
import Subprocess
import Synchronization

/// A set of isolated hosts and the processes in them, which vanish together.
///
/// ```swift
/// try await NetworkLab.run { lab in
///   let a = try await lab.namespace("a"), b = try await lab.namespace("b")
///   try await lab.connect(a, ["192.0.2.1/24", "2001:db8::1/64"], b, ["192.0.2.2/24", "2001:db8::2/64"])
///   try await a.run("ping", "-c1", "192.0.2.2")
/// }
/// ```
///
/// Whatever the body does, also throwing, every process that was started ends and every namespace is deleted.
final class NetworkLab: Sendable {
  /// Why no lab can run here, or `nil` if it can.
  static let obstacle: String? = {
    if geteuid() != 0 { return "the lab makes network namespaces and needs root" }
    if access("/dev/net/tun", R_OK | W_OK) != 0 { return "the lab needs /dev/net/tun" }
    for tool in ["ip", "timeout", "ping"] where !have(tool) { return "the lab needs the command \(tool)" }
    return nil
  }()

  /// Whether a command is installed.
  static func have(_ tool: String) -> Bool {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    let folders = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
    return folders.contains { access("\($0)/\(tool)", X_OK) == 0 }
  }

  private struct Inventory {
    var namespaces: [NetworkNamespace] = []
    var processes: [LabProcess] = []
    var links = 0
  }

  private static let numbers = Atomic<Int>(0)

  /// Short and unique on the machine, for names of interfaces that share a folder or a namespace.
  let tag: String
  /// Logs of started processes; deleted with the lab.
  let folder: URL
  private let inventory = Mutex(Inventory())

  private init() throws {
    let number = NetworkLab.numbers.wrappingAdd(1, ordering: .relaxed).newValue
    tag = "\(String(getpid(), radix: 36))x\(number)"
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("meshd-lab-\(tag)", isDirectory: true)
    try FileManager.default.createDirectory(
      at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
  }

  /// Runs `body` with an empty lab and cleans up after it.
  static func run<Result: Sendable>(_ body: (NetworkLab) async throws -> Result) async throws -> Result {
    let lab = try NetworkLab()
    do {
      let result = try await body(lab)
      await uncancelled { await lab.tearDown() }
      return result
    } catch {
      await uncancelled { await lab.tearDown() }
      throw error
    }
  }

  /// A new host with nothing but a loopback interface.
  func namespace(_ label: String) async throws -> NetworkNamespace {
    let namespace = NetworkNamespace(name: "md-\(tag)-\(label)", label: label)
    let outcome = try await NetworkNamespace.command(["ip", "netns", "add", namespace.name])
    guard outcome.succeeded else {
      throw CommandFailure(namespace: label, command: ["ip", "netns", "add", namespace.name], outcome: outcome)
    }
    inventory.withLock { $0.namespaces.append(namespace) }
    try await namespace.run("ip", "link", "set", "lo", "up")
    // Its interfaces are made after this. A router whose own link-local address still waits for duplicates asks for no neighbour.
    try await namespace.run("sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0")
    return namespace
  }

  /// Joins two hosts by a cable and returns the names of its ends.
  @discardableResult
  func connect(
    _ a: NetworkNamespace, _ aAddresses: [String], _ b: NetworkNamespace, _ bAddresses: [String], mtu: Int = 1500
  ) async throws -> (a: String, b: String) {
    let number = inventory.withLock { inventory in
      inventory.links += 1
      return inventory.links
    }
    let ends = (a: "eth\(number)a", b: "eth\(number)b")
    let command = [
      "ip", "link", "add", ends.a, "netns", a.name, "mtu", "\(mtu)", "type", "veth",
      "peer", "name", ends.b, "netns", b.name, "mtu", "\(mtu)",
    ]
    let outcome = try await NetworkNamespace.command(command)
    guard outcome.succeeded else { throw CommandFailure(namespace: "lab", command: command, outcome: outcome) }
    for (namespace, end, addresses) in [(a, ends.a, aAddresses), (b, ends.b, bAddresses)] {
      for address in addresses { try await namespace.addAddress(address, to: end) }
      try await namespace.run("ip", "link", "set", end, "up")
    }
    return ends
  }

  /// A host with a bridge, to which `plug` connects others: a common cable segment.
  func bridge(_ label: String) async throws -> NetworkNamespace {
    let namespace = try await namespace(label)
    try await namespace.run("ip", "link", "add", "bridge", "type", "bridge")
    try await namespace.run("ip", "link", "set", "bridge", "up")
    return namespace
  }

  /// Connects a host to a bridge and returns the name of the host's interface.
  @discardableResult
  func plug(_ host: NetworkNamespace, _ addresses: [String], into bridge: NetworkNamespace) async throws -> String {
    let ends = try await connect(host, addresses, bridge, [])
    try await bridge.run("ip", "link", "set", ends.b, "master", "bridge")
    return ends.a
  }

  /// Starts a command that goes on until the lab ends or it is told to.
  func start(_ command: [String], in namespace: NetworkNamespace) async throws -> LabProcess {
    let number = inventory.withLock { $0.processes.count }
    let log = folder.appendingPathComponent(
      "\(namespace.label)-\(number)-\(URL(fileURLWithPath: command[0]).lastPathComponent).log")
    let process = try await LabProcess.start(["ip", "netns", "exec", namespace.name] + command, log: log)
    inventory.withLock { $0.processes.append(process) }
    return process
  }

  /// Starts a command that serves on a TCP port, and returns once it listens.
  func serve(_ command: [String], in namespace: NetworkNamespace, onTCP port: Int) async throws -> LabProcess {
    let server = try await start(command, in: namespace)
    let isListening = try await eventually(.seconds(20)) { try await namespace.listens(onTCP: port) }
    guard isListening else { throw Missing(what: "a listener on TCP port \(port)", in: "\(server.output)") }
    return server
  }

  private func tearDown() async {
    let (processes, namespaces) = inventory.withLock { ($0.processes, $0.namespaces) }
    for process in processes.reversed() { await process.stop() }
    for namespace in namespaces.reversed() {
      _ = try? await NetworkNamespace.command(["ip", "netns", "delete", namespace.name])
    }
    try? FileManager.default.removeItem(at: folder)
  }
}

/// Runs to its end also in a task that was cancelled: what cleans up is not given up half-way.
func uncancelled(_ body: @escaping @Sendable () async -> Void) async { await Task(operation: body).value }
