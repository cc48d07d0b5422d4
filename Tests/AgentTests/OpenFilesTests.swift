import Glibc
import Testing

@testable import Agent

@Suite("how many files may be open")
struct OpenFilesTests {
  @Test("the limit is raised as far as the process may, and stays there")
  func raise() {
    let raised = OpenFiles.raiseLimit()
    var limit = rlimit()
    #expect(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
    #expect(limit.rlim_cur >= rlim_t(raised) && (limit.rlim_cur == limit.rlim_max || raised == 32_768))
    #expect(OpenFiles.raiseLimit() == raised)
  }
}
