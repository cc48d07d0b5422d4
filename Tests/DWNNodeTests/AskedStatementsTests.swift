import GRDB
import Testing

@testable import DWNNode

@Suite("prepared statements")
struct AskedStatementsTests {
  @Test("of the questions that somebody thinks of only some are kept, and every one is answered")
  func bounded() throws {
    let database = try DatabaseQueue()
    try database.write { database in
      let question = "SELECT 1 WHERE 1 IN (1"
      for count in 0..<2000 {
        let sql = question + String(repeating: ", 1", count: count) + ")"
        let answer = try Int.fetchOne(database.asked(sql))
        #expect(answer == 1)
      }
    }
    let isKept = (0..<2000).map { AskedStatements.isKept("SELECT 2 WHERE 1 < \($0)") }
    #expect(isKept.count { $0 } <= AskedStatements.most)
    #expect(!AskedStatements.isKept(String(repeating: " ", count: AskedStatements.longest + 1)))
  }
}
