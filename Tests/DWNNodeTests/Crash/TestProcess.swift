#if canImport(Glibc)
  import Glibc
#endif

/// A second process of this test program, which runs one suite of it: to be killed, or to live on a disk of its own.
struct TestProcess {
  private let id: pid_t

  /// Runs a suite with these variables in the environment.
  init(suite: String, variables: [String: String], outputPath: String) throws {
    try self.init(
      ["/proc/self/exe", "--testing-library", "swift-testing", "--filter", suite], variables, outputPath)
  }

  /// Runs a suite in a mount namespace of its own, after the shell did something there.
  init(suite: String, after command: String, variables: [String: String], outputPath: String) throws {
    let program = try Self.program()
    try self.init(
      Self.unshare + [
        "sh", "-c", "\(command) && exec \"$0\" --testing-library swift-testing --filter \(suite)", program,
      ], variables, outputPath)
  }

  private init(_ arguments: [String], _ variables: [String: String], _ outputPath: String) throws {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, outputPath, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
    let environment = Self.inherited.merging(variables) { $1 }.map { "\($0.key)=\($0.value)" }
    var started: pid_t = 0
    let result = Self.withVector(arguments) { arguments in
      Self.withVector(environment) { posix_spawnp(&started, arguments[0]!, &actions, nil, arguments, $0) }
    }
    guard result == 0 else { throw Failure(reason: String(cString: strerror(result))) }
    id = started
  }

  struct Failure: Error {
    let reason: String
  }

  /// Whether mounts can be made here that nobody else sees.
  static let canMount: Bool = {
    guard let process = try? TestProcess(unshare + ["mount", "-t", "tmpfs", "none", "/mnt"], [:], "/dev/null") else {
      return false
    }
    return process.wait() == 0
  }()

  private static let unshare = ["unshare", geteuid() == 0 ? "-m" : "-rm", "--propagation", "private"]

  private static func program() throws -> String {
    var path = [UInt8](repeating: 0, count: 4096)
    let count = path.withUnsafeMutableBytes { readlink("/proc/self/exe", $0.baseAddress!, $0.count) }
    guard count > 0 else { throw Failure(reason: "/proc/self/exe cannot be read") }
    return String(decoding: path[..<count], as: UTF8.self)
  }

  /// What a test program needs to find its libraries and its temporary folder.
  private static var inherited: [String: String] {
    var variables = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]
    let names: [String] = ["TMPDIR", "LD_LIBRARY_PATH", "HOME"]
    for name in names { variables[name] = getenv(name).map { String(cString: $0) } }
    return variables
  }

  private static func withVector<Result>(
    _ texts: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
  ) -> Result {
    var vector = texts.map { strdup($0) } + [nil]
    defer { for text in vector { free(text) } }
    return vector.withUnsafeMutableBufferPointer { body($0.baseAddress!) }
  }

  var hasEnded: Bool {
    var info = siginfo_t()
    return waitid(P_PID, id_t(id), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_signo != 0
  }

  /// In the middle of whatever it does. Returns when nothing of it is left.
  func kill() {
    Glibc.kill(id, SIGKILL)
    _ = wait()
  }

  /// Blocks until it has ended. Its exit status, or −1 if a signal ended it.
  func wait() -> Int32 {
    var status: Int32 = 0
    while waitpid(id, &status, 0) == -1 {
      guard errno == EINTR else { return -1 }
    }
    return status & 0x7f == 0 ? status >> 8 & 0xff : -1
  }
}
