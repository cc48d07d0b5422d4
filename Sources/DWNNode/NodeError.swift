import GRDB

/// Why the node, or a database, cannot do its work.
public enum NodeError: Error, Hashable, Sendable, CustomStringConvertible {
  case corruptDatabase(path: String, detail: String)
  /// Written by a later version of the program.
  case newerDatabase(path: String, version: Int, known: Int)
  case cannotOpenDatabase(path: String, reason: String)
  case databaseInUse(path: String)
  case diskFull(path: String)
  /// So many bytes of a disk were to stay free.
  case diskReserved(path: String, bytes: Int)
  case databaseFailed(path: String, reason: String)
  case addressInUse(address: String)
  case addressNotHere(address: String)
  case portNeedsPermission(address: String)
  /// The machine has no IPv6, or no IPv4.
  case familyMissing(address: String)
  case cannotListen(address: String, reason: String)
  case badTLSFile(path: String, reason: String)
  case noDatabase(path: String)
  /// Written by an earlier version of the program, where nothing may be changed.
  case olderDatabase(path: String, version: Int)
  case wouldOverwrite(path: String)
  /// What was committed behind a place in a log that cannot be read.
  case damagedLog(path: String, commits: Int)
  /// The log of a database that is not there.
  case logWithoutDatabase(path: String)
  case unusableBackup(path: String, reason: String)
  /// Of the files that a database names, all at once are gone: more likely their folder is elsewhere.
  case dataMissing(path: String, files: Int)
  /// Large data beside a database that is new, and knows nothing of it.
  case dataOfAnother(path: String)
  case cannotReadOrWrite(path: String, reason: String)
  case unknownTenant(String)
  case tenantNotEmpty(String, messages: Int)
  case badExport(line: Int, reason: String)
  /// Whoever began it ended it.
  case interrupted

  public var description: String {
    switch self {
    case .corruptDatabase(let path, let detail):
      "the database \(path) is damaged (\(detail)): restore it from a backup, or begin with an empty one; "
        + "for both, move it away, and the files beside it whose names begin with its name"
    case .newerDatabase(let path, let version, let known):
      "the database \(path) has version \(version), and this program knows versions up to \(known): use a newer meshd"
    case .cannotOpenDatabase(let path, let reason): "the database \(path) cannot be opened: \(reason)"
    case .databaseInUse(let path): "the database \(path) is held by another process: end that one first"
    case .diskFull(let path):
      "no space is left on the disk of \(path): nothing was written; free some space and try again"
    case .diskReserved(let path, let bytes):
      "less than \(bytes >> 20) MB would be left on the disk of \(path): nothing was written; free some space, "
        + "or name with --min-free what is to be left"
    case .databaseFailed(let path, let reason): "the database \(path) failed: \(reason)"
    case .addressInUse(let address):
      "\(address) is in use by another program: choose another address or port with --listen"
    case .addressNotHere(let address):
      "\(address) is not an address of this machine: choose another one with --listen"
    case .portNeedsPermission(let address):
      "this user may not listen on \(address): choose a port above 1023 with --listen"
    case .familyMissing(let address):
      "this machine cannot listen on \(address), since it lacks that version of IP: name other addresses with --listen"
    case .cannotListen(let address, let reason): "cannot listen on \(address): \(reason)"
    case .badTLSFile(let path, let reason): "\(path) cannot be used for TLS: \(reason)"
    case .noDatabase(let path): "there is no database \(path): name the folder of a node with --data"
    case .olderDatabase(let path, let version):
      "the database \(path) has version \(version), of an earlier meshd: start the node once, which brings it up to date"
    case .wouldOverwrite(let path):
      "\(path) is there already, and nothing is overwritten: name another place, or move it away"
    case .damagedLog(let path, let commits):
      "the log of the database \(path) is damaged in its middle, and \(commits) commits behind that cannot be read: restore it from a "
        + "backup, or go on without what they said: start once with 'meshd dwn serve --without-lost-data'"
    case .logWithoutDatabase(let path):
      "\(path) is the log of a database that is not there: put that one back, or move the log away too to begin with an empty one"
    case .dataMissing(let path, let files):
      "none of the \(files == 1 ? "large data" : "\(files) files of large data") that the database names is in \(path): mount that folder, or put it back; "
        + "if it is lost for good, start once with 'meshd dwn serve --without-lost-data'"
    case .dataOfAnother(let path):
      "\(path) has large data of a database that is not there: put that one back, or move the folder away too to begin with an empty one"
    case .unusableBackup(let path, let reason): "the backup \(path) cannot be used: \(reason)"
    case .cannotReadOrWrite(let path, let reason): "\(path): \(reason)"
    case .unknownTenant(let did): "the node has nothing of \(did): 'meshd dwn tenants' lists those of whom it has"
    case .tenantNotEmpty(let did, let messages):
      "the node has \(messages) messages of \(did) already: an import is for a tenant of whom it has none"
    case .interrupted: "ended before it was done: what was half made is removed"
    case .badExport(let line, let reason): "the export cannot be used from line \(line) on: \(reason)"
    }
  }

  /// What a check found, cut to what a line holds.
  static func damaged(_ path: String, _ finding: String) -> NodeError {
    .corruptDatabase(path: path, detail: String(finding.prefix(200)))
  }

  /// What SQLite says of the database at a path, in words for people.
  public init(_ error: any Error, path: String) {
    if let error = error as? NodeError {
      self = error
      return
    }
    guard let error = error as? DatabaseError else {
      self = .databaseFailed(path: path, reason: "\(error)")
      return
    }
    let reason = error.message ?? "SQLite error \(error.resultCode.rawValue)"
    switch error.resultCode {
    case .SQLITE_CORRUPT, .SQLITE_NOTADB: self = .corruptDatabase(path: path, detail: reason)
    case .SQLITE_FULL: self = .diskFull(path: path)
    case .SQLITE_BUSY, .SQLITE_LOCKED: self = .databaseInUse(path: path)
    case .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_READONLY: self = .cannotOpenDatabase(path: path, reason: reason)
    default: self = .databaseFailed(path: path, reason: reason)
    }
  }
}
