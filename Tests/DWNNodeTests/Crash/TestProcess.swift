#if canImport(Glibc)
  import Glibc
#endif

/// A second process of this test program that writes to a database, and is killed.
struct WriterProcess {
  private let id: pid_t

  init(databasePath: String, outputPath: String) throws {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, outputPath, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
    // Where the program is named in its arguments depends on who started it.
    let program = "/proc/self/exe"
    let arguments = [program, "--testing-library", "swift-testing", "--filter", "CrashWriterProcess"]
    let variables = ["\(CrashWriter.variable)=\(databasePath)", "PATH=/usr/bin:/bin"] + Self.inherited
    var started: pid_t = 0
    let result = Self.withVector(arguments) { arguments in
      Self.withVector(variables) { posix_spawn(&started, program, &actions, nil, arguments, $0) }
    }
    guard result == 0 else { throw Failure(reason: String(cString: strerror(result))) }
    id = started
  }

  struct Failure: Error {
    let reason: String
  }

  /// What a test program needs to find its libraries and its temporary folder.
  private static var inherited: [String] {
    let names: [String] = ["TMPDIR", "LD_LIBRARY_PATH", "HOME"]
    return names.compactMap { name in getenv(name).map { "\(name)=\(String(cString: $0))" } }
  }

  private static func withVector<Result>(
    _ texts: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
  ) -> Result {
    var vector = texts.map { strdup($0) } + [nil]
    defer { for text in vector { free(text) } }
    return vector.withUnsafeMutableBufferPointer { body($0.baseAddress!) }
  }

  /// Whether it ended by itself, which it must not.
  var hasEnded: Bool {
    var info = siginfo_t()
    return waitid(P_PID, id_t(id), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_signo != 0
  }

  /// In the middle of whatever it does. Returns when nothing of it is left.
  func kill() {
    Glibc.kill(id, SIGKILL)
    var status: Int32 = 0
    while waitpid(id, &status, 0) == -1, errno == EINTR {}
  }
}
