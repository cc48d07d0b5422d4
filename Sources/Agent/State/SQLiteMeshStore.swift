import DWN
import DWNNode
import Foundation
import GRDB
import Mesh
import Wire

/// `mesh.sqlite`: what this device signed and what it verified (`MeshStore`), durable before a commit returns.
final class SQLiteMeshStore: MeshStore {
  static let file = "mesh.sqlite"

  private let path: String
  private let database: DatabasePool

  init(_ directory: StateDirectory) throws(NodeError) {
    path = directory.file(Self.file)
    database = try DurableDatabase.open(path: path, schema: Self.schema)
  }

  func load() async throws -> StoredMesh {
    do { return try await read() } catch let error as DatabaseError { throw NodeError(error, path: path) }
  }

  func commit(_ change: StoreChange) async throws {
    guard !change.isEmpty else { return }
    do { try await write(change) } catch let error as DatabaseError { throw NodeError(error, path: path) }
  }

  /// Gives up, soon, what is kept in memory for speed alone.
  func releaseMemory() { database.releaseMemoryEventually() }

  func close() throws {
    try DurableDatabase.close(database)
  }

  private func read() async throws -> StoredMesh {
    try await database.read { db in
      var mesh = StoredMesh()
      mesh.authored = try Row.fetchAll(db, sql: "SELECT * FROM authored ORDER BY position").map(Self.authored)
      mesh.publications = try Row.fetchAll(db, sql: "SELECT * FROM publication ORDER BY rowid").map(Self.publication)
      mesh.foreign = try Row.fetchAll(db, sql: "SELECT * FROM foreign_message ORDER BY rowid").map(Self.message)
      for row in try Row.fetchAll(db, sql: "SELECT * FROM verified ORDER BY element") {
        mesh.networks[try Self.network(row), default: StoredNetwork()].messages.append(try Self.message(row))
      }
      for row in try Row.fetchAll(db, sql: "SELECT * FROM ended") {
        guard let record = RecordID(row["record"] as String) else { throw Self.corrupt("ended") }
        mesh.networks[try Self.network(row), default: StoredNetwork()].ended[record] = Self.time(row["stamp"])
      }
      for row in try Row.fetchAll(db, sql: "SELECT * FROM cursor") {
        let json = try? JSONValue(parsing: row["token"] as String)
        guard let token = json.flatMap({ ProgressToken($0) }) else { throw Self.corrupt("cursor") }
        let place = SubscriptionPlace(endpoint: row["endpoint"], topic: row["topic"])
        mesh.networks[try Self.network(row), default: StoredNetwork()].cursors[place] = token
      }
      for row in try Row.fetchAll(db, sql: "SELECT * FROM accepted") {
        mesh.networks[try Self.network(row), default: StoredNetwork()].accepted = StoredAcceptance(
          head: row["head"], acceptedAt: Self.time(row["acceptedAt"]))
      }
      return mesh
    }
  }

  private func write(_ change: StoreChange) async throws {
    try await database.write { db in
      for entry in change.authored {
        try db.execute(
          sql: """
            INSERT INTO authored (position, element, stamp, network, json, data) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (element) DO UPDATE SET position = excluded.position, stamp = excluded.stamp,
              network = excluded.network, json = excluded.json, data = excluded.data
            """,
          arguments: [
            entry.order, entry.element, entry.stamp.microseconds, entry.network?.text,
            entry.message.map { Data($0.json) }, entry.message?.data.map { Data($0) },
          ])
        if entry.message == nil {
          try db.execute(sql: "DELETE FROM publication WHERE element = ?", arguments: [entry.element])
        }
      }
      for publication in change.publications {
        try db.execute(
          sql: """
            INSERT OR REPLACE INTO publication (element, endpoint, state) SELECT ?1, ?2, ?3
            WHERE NOT EXISTS (SELECT 1 FROM authored WHERE element = ?1 AND json IS NULL)
            """,
          arguments: [publication.element, publication.endpoint, publication.state.text])
      }
      for message in change.foreign {
        try db.execute(
          sql: "INSERT OR IGNORE INTO foreign_message (element, json, data) VALUES (?, ?, ?)",
          arguments: [message.element, Data(message.json), message.data.map { Data($0) }])
      }
      for (network, change) in change.verified { try Self.apply(change, of: network, db) }
    }
  }

  private static func apply(_ change: VerifiedChange, of network: NetworkID, _ db: Database) throws {
    for message in change.kept {
      try db.execute(
        sql: "INSERT OR REPLACE INTO verified (network, element, json, data) VALUES (?, ?, ?, ?)",
        arguments: [network.text, message.element, Data(message.json), message.data.map { Data($0) }])
    }
    for element in change.dropped {
      try db.execute(
        sql: "DELETE FROM verified WHERE network = ? AND element = ?", arguments: [network.text, element])
    }
    for (record, stamp) in change.ended {
      try db.execute(
        sql: "INSERT OR REPLACE INTO ended (network, record, stamp) VALUES (?, ?, ?)",
        arguments: [network.text, record.text, stamp.microseconds])
    }
    for record in change.forgotten {
      try db.execute(
        sql: "DELETE FROM ended WHERE network = ? AND record = ?", arguments: [network.text, record.text])
    }
    if let accepted = change.accepted {
      try db.execute(
        sql: "INSERT OR REPLACE INTO accepted (network, head, acceptedAt) VALUES (?, ?, ?)",
        arguments: [network.text, accepted.head, accepted.acceptedAt.microseconds])
    }
    for (place, cursor) in change.cursors {
      try db.execute(
        sql: "INSERT OR REPLACE INTO cursor (network, endpoint, topic, token) VALUES (?, ?, ?, ?)",
        arguments: [network.text, place.endpoint, place.topic, String(decoding: cursor.json.encoded, as: UTF8.self)])
    }
  }

  private static let schema = [
    DurableDatabase.SchemaStep(
      sql: """
        CREATE TABLE authored (
          element TEXT PRIMARY KEY, position INTEGER NOT NULL UNIQUE, stamp INTEGER NOT NULL, network TEXT,
          json BLOB, data BLOB);
        CREATE TABLE publication (
          element TEXT NOT NULL, endpoint TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (element, endpoint));
        CREATE TABLE foreign_message (element TEXT PRIMARY KEY, json BLOB NOT NULL, data BLOB);
        CREATE TABLE verified (
          network TEXT NOT NULL, element TEXT NOT NULL, json BLOB NOT NULL, data BLOB,
          PRIMARY KEY (network, element));
        CREATE TABLE ended (
          network TEXT NOT NULL, record TEXT NOT NULL, stamp INTEGER NOT NULL, PRIMARY KEY (network, record));
        CREATE TABLE accepted (network TEXT PRIMARY KEY, head TEXT NOT NULL, acceptedAt INTEGER NOT NULL);
        """),
    DurableDatabase.SchemaStep(
      sql: """
        CREATE TABLE cursor (
          network TEXT NOT NULL, endpoint TEXT NOT NULL, topic TEXT NOT NULL, token TEXT NOT NULL,
          PRIMARY KEY (network, endpoint, topic));
        """),
    DurableDatabase.SchemaStep(
      sql: "DELETE FROM publication WHERE element IN (SELECT element FROM authored WHERE json IS NULL)"),
  ]

  // MARK: Rows

  private static func authored(_ row: Row) throws -> StoredAuthored {
    let json: Data? = row["json"]
    let network = try (row["network"] as String?).map { text in
      guard let id = NetworkID(text) else { throw corrupt("authored") }
      return id
    }
    let message = json.map { StoredMessage(element: row["element"], json: Array($0), data: bytes(row)) }
    return StoredAuthored(
      order: row["position"], element: row["element"], stamp: time(row["stamp"]), network: network, message: message)
  }

  private static func publication(_ row: Row) throws -> StoredPublication {
    guard let state = PublicationState(text: row["state"]) else { throw corrupt("publication") }
    return StoredPublication(element: row["element"], endpoint: row["endpoint"], state: state)
  }

  private static func message(_ row: Row) throws -> StoredMessage {
    StoredMessage(element: row["element"], json: Array(row["json"] as Data), data: bytes(row))
  }

  private static func network(_ row: Row) throws -> NetworkID {
    guard let id = NetworkID(row["network"] as String) else { throw corrupt("network") }
    return id
  }

  private static func bytes(_ row: Row) -> [UInt8]? { (row["data"] as Data?).map { Array($0) } }
  private static func time(_ microseconds: Int64) -> WallTime { WallTime(microseconds: microseconds) }

  private static func corrupt(_ table: String) -> AgentError {
    .failed("\(file) holds a value in \(table) that cannot be read: restore it from a backup")
  }
}
