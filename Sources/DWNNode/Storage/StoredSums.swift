/// What tenants and guests have stored is summed up in the transaction that changes it: with its position in the feed where a message comes
/// (`SQLiteTransaction`), by triggers where one changes or goes.
///
/// Messages of records that were deleted are counted apart: `ended` is 1 where the record is the tenant's, 2 where it is a guest's. What
/// the table `guest` and the columns `live_guest` count is what is not deleted.
enum StoredSums {
  /// The step of the schema that brings them.
  static let step = """
    ALTER TABLE message ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;
    UPDATE message SET ended = \(ended) WHERE kind IN ('write', 'delete') AND EXISTS (
      SELECT 1 FROM message AS other INDEXED BY message_record WHERE other.tenant = message.tenant
        AND other.record_id = message.record_id AND other.kind = 'delete');
    ALTER TABLE tenant ADD COLUMN live_guest_messages INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tenant ADD COLUMN live_guest_bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tenant ADD COLUMN ended_messages INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tenant ADD COLUMN ended_bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tenant ADD COLUMN ended_guest_messages INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tenant ADD COLUMN ended_guest_bytes INTEGER NOT NULL DEFAULT 0;
    DROP TRIGGER message_added;
    DROP TRIGGER message_resized;
    DROP TRIGGER message_removed;
    DROP TRIGGER guest_added;
    DROP TRIGGER guest_resized;
    DROP TRIGGER guest_removed;
    \(counting);
    CREATE TRIGGER message_added AFTER INSERT ON message BEGIN
      UPDATE tenant SET \(change { "+ \($0(columns("new.")))" }) WHERE id = new.tenant;
    END;
    CREATE TRIGGER message_changed AFTER UPDATE OF size, share, ended ON message BEGIN
      UPDATE tenant SET \(change { "- \($0(columns("old."))) + \($0(columns("new.")))" }) WHERE id = new.tenant;
    END;
    CREATE TRIGGER message_removed AFTER DELETE ON message BEGIN
      UPDATE tenant SET \(change { "- \($0(columns("old.")))" }) WHERE id = old.tenant;
    END;
    CREATE TRIGGER guest_added AFTER INSERT ON message WHEN new.share <> 0 AND new.ended = 0 BEGIN
      \(addingGuest);
    END;
    CREATE TRIGGER guest_changed AFTER UPDATE OF size, share, ended ON message
      WHEN (old.share <> 0 AND old.ended = 0) OR (new.share <> 0 AND new.ended = 0) BEGIN
      UPDATE guest SET messages = messages - 1, bytes = bytes - old.size
        WHERE old.share <> 0 AND old.ended = 0 AND tenant = old.tenant AND author = old.author;
      \(addingGuest);
      DELETE FROM guest WHERE tenant = old.tenant AND author = old.author AND messages = 0;
    END;
    CREATE TRIGGER guest_removed AFTER DELETE ON message WHEN old.share <> 0 AND old.ended = 0 BEGIN
      UPDATE guest SET messages = messages - 1, bytes = bytes - old.size
        WHERE tenant = old.tenant AND author = old.author;
      DELETE FROM guest WHERE tenant = old.tenant AND author = old.author AND messages = 0;
    END;
    """

  /// What `ended` is for a message of a record that was deleted.
  static let ended = """
    1 + coalesce((SELECT initial.share <> 0 FROM message AS initial INDEXED BY message_record
      WHERE initial.tenant = message.tenant AND initial.record_id = message.record_id AND initial.is_initial LIMIT 1), 0)
    """

  private static let addingGuest = """
    INSERT INTO guest SELECT new.tenant, new.author, 1, new.size WHERE new.share <> 0 AND new.ended = 0
        \(addingUp)
    """

  private static let addingUp =
    "ON CONFLICT DO UPDATE SET messages = messages + 1, bytes = bytes + excluded.bytes"

  /// How a statement names what of a message is summed up.
  private struct Terms {
    var share: String
    var size: String
    var ended: String
  }

  /// The columns of `message`, as a row's.
  private static func columns(_ row: String) -> Terms {
    Terms(share: row + "share", size: row + "size", ended: row + "ended")
  }

  /// Columns of `tenant` that are sums over messages, and what a message adds to them.
  private static let sums: [(column: String, of: @Sendable (_ message: Terms) -> String)] = [
    ("messages", { _ in "1" }), ("bytes", { $0.size }),
    ("guest_messages", { "(\($0.share) <> 0)" }), ("guest_bytes", { "(\($0.share) <> 0) * \($0.size)" }),
    ("live_guest_messages", { "(\($0.share) <> 0 AND \($0.ended) = 0)" }),
    ("live_guest_bytes", { "(\($0.share) <> 0 AND \($0.ended) = 0) * \($0.size)" }),
    ("ended_messages", { "(\($0.ended) = 1)" }), ("ended_bytes", { "(\($0.ended) = 1) * \($0.size)" }),
    ("ended_guest_messages", { "(\($0.ended) = 2)" }), ("ended_guest_bytes", { "(\($0.ended) = 2) * \($0.size)" }),
  ]

  /// An assignment of `UPDATE tenant` that adds a message that comes, with its share and its size.
  static func adding(share: String, size: String) -> String {
    let message = Terms(share: share, size: size, ended: "0")
    return change { "+ \($0(message))" }
  }

  /// The same for a guest: tenant, author, size.
  static let addingToGuest = "INSERT INTO guest VALUES (?, ?, 1, ?) \(addingUp)"

  private static func change(_ by: (_ term: (Terms) -> String) -> String) -> String {
    sums.map { "\($0.column) = \($0.column) \(by($0.of))" }.joined(separator: ", ")
  }

  /// Counts anew what tenants and guests have.
  static let counting = """
    UPDATE tenant SET (\(sums.map(\.column).joined(separator: ", "))) =
      (SELECT \(sums.map { "coalesce(sum(\($0.of(columns("")))), 0)" }.joined(separator: ", "))
        FROM message WHERE tenant = tenant.id);
    DELETE FROM guest;
    INSERT INTO guest SELECT tenant, author, count(*), sum(size) FROM message NOT INDEXED
      WHERE share <> 0 AND ended = 0 GROUP BY tenant, author
    """
}
