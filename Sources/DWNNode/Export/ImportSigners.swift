#if canImport(Glibc)
  import Glibc
#endif
import DWN
import Identity

/// Those who signed the messages of an export, and whose keys have to be asked for before the messages are admitted: no transaction
/// waits for the network.
struct ImportSigners {
  /// Signers whose keys are asked for; the messages of any beyond them are left out.
  private static let most = 10_000
  private static let askedAtATime = 16

  private(set) var dids: Set<DID> = []

  /// Of a file that need not be an export: whoever admits it says what is wrong with it.
  static func collected(from path: String) throws(NodeError) -> ImportSigners {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileCopy.failure(path) }
    defer { close(descriptor) }
    var signers = ImportSigners()
    guard let lines = try? ZstdLines(descriptor, path: path, longestLine: ExportLine.longest) else { return signers }
    while signers.dids.count < most, let line = try? lines.next() {
      // Pieces of data are most of the bytes, and signed by nobody.
      guard !line.starts(with: #"{"data":"#.utf8), case .message(let entry)? = ExportLine(line),
        let message = try? Message(entry.message), let claimed = try? ClaimedMessage(message, admitting: .everyForm)
      else { continue }
      signers.dids.formUnion(claimed.signers.filter { !OfflineResolver.carriesKeys($0) })
    }
    return signers
  }

  /// What became of each of them.
  func documents(_ directory: any DIDDirectory) async -> DIDDocuments {
    var documents = DIDDocuments()
    var rest = dids.sorted { $0.text < $1.text }[...]
    while !rest.isEmpty {
      let asked = Set(rest.prefix(Self.askedAtATime))
      let answers = await directory.documents(of: asked)
      for did in asked { documents[did] = answers[did] }
      rest = rest.dropFirst(Self.askedAtATime)
    }
    return documents
  }
}
