import Glibc

/// How many files and connections this process may have open at one time.
enum OpenFiles {
  /// Enough for relay, node and engine together as they are by themselves.
  static let usual = 32_768

  /// Raises the limit to a number, as far as a process may do that by itself, and gives what of that number holds then. Systems set it
  /// low for programs that cannot cope with more, and leave it to the others to ask.
  @discardableResult
  static func raiseLimit(to most: Int = usual) -> Int {
    let most = rlim_t(most)
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    var limit = rlimit()
    guard getrlimit(resource, &limit) == 0 else { return 1024 }
    let wanted = min(limit.rlim_max, most)
    if limit.rlim_cur < wanted {
      var raised = limit
      raised.rlim_cur = wanted
      if setrlimit(resource, &raised) == 0 { limit = raised }
    }
    return Int(min(limit.rlim_cur, most))
  }
}
