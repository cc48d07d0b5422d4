import GRDB

/// The tables of a node's database. Every table is read and written with the tenant at hand.
///
/// | table | one row is |
/// | --- | --- |
/// | `node` | what is about the whole file: its feed's epoch, whether it was closed in order, and what the node last had room for |
/// | `tenant` | a DID, so that messages name it by number; the head of its feed, and what it has stored |
/// | `registration` | a DID that registered itself |
/// | `message` | a message that is kept, with its position in the feed |
/// | `large_data` | data of a message beyond the inline limit |
/// | `data_file` | the file with the data of a message beyond what a row should hold |
/// | `dropped_file` | a file that a message named that is no more: to be removed unless another one names it |
/// | `query_rule` | a path of a definition with room for so many records (`maximum`; of the newest one), or a root whose records stand deeper than the path says |
/// | `guest` | an author other than the tenant, with what this one has stored there |
/// | `tag` | one value of a tag of a record's newest write |
///
/// Of a record at most three messages are kept: the one that stands for it (`is_latest`), its initial write, and beside a delete
/// the newest write, both without data. A message's place in the feed is a column of it, so that neither can be without the other.
///
/// `size` is what a message counts for its tenant: its text, its data if that is here, and the rows of a definition's rules. `ended` says that its record was deleted.
/// Triggers keep the sums where a message changes or goes.
enum NodeSchema {
  static let steps: [DurableDatabase.SchemaStep] =
    [first, feed, guests, strangers, bounds].map { .init(sql: $0) } + [
      queries, .init(sql: shares), .init(sql: StoredSums.step), .init(sql: payloads), .init(sql: arrivals),
    ]

  private static let first = """
    CREATE TABLE tenant (
      id INTEGER PRIMARY KEY,
      did TEXT NOT NULL UNIQUE
    );
    CREATE TABLE message (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      tenant INTEGER NOT NULL REFERENCES tenant(id),
      cid TEXT NOT NULL,
      element TEXT NOT NULL,
      kind TEXT NOT NULL,
      json TEXT NOT NULL,
      author TEXT NOT NULL,
      timestamp TEXT NOT NULL,
      protocol TEXT NOT NULL,
      published INTEGER NOT NULL DEFAULT 0,
      record_id TEXT,
      path TEXT,
      context_id TEXT,
      parent_context TEXT,
      parent_id TEXT,
      recipient TEXT,
      schema TEXT,
      date_created TEXT,
      date_published TEXT,
      data_format TEXT,
      data_cid TEXT,
      data_size INTEGER,
      squash INTEGER NOT NULL DEFAULT 0,
      is_initial INTEGER NOT NULL DEFAULT 0,
      is_latest INTEGER NOT NULL DEFAULT 0,
      has_data INTEGER NOT NULL DEFAULT 0,
      data BLOB
    );
    CREATE UNIQUE INDEX message_cid ON message(tenant, cid);
    CREATE INDEX message_element ON message(tenant, element);
    CREATE INDEX message_record ON message(tenant, record_id);
    CREATE INDEX message_context ON message(tenant, context_id);
    CREATE INDEX message_place ON message(tenant, protocol, path, parent_context, date_created, cid) WHERE is_latest;
    CREATE INDEX message_recipient ON message(tenant, recipient, protocol) WHERE is_latest;
    CREATE INDEX message_siblings ON message(tenant, protocol, path, parent_context, timestamp);
    CREATE INDEX message_squash ON message(tenant, protocol, path, parent_context, timestamp) WHERE squash;
    CREATE INDEX message_configure ON message(tenant, protocol) WHERE kind = 'configure';
    CREATE TABLE large_data (
      message INTEGER PRIMARY KEY REFERENCES message(id) ON DELETE CASCADE,
      bytes BLOB NOT NULL
    );
    CREATE TABLE tag (
      message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE,
      name TEXT NOT NULL,
      text_value TEXT,
      number_value REAL,
      bool_value INTEGER
    );
    CREATE INDEX tag_message ON tag(message, name);
    CREATE INDEX tag_text ON tag(name, text_value);
    """

  /// The feed, data in files, registrations, shares, and an index for whatever a query may begin with.
  private static let feed = """
    CREATE TABLE node (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      epoch TEXT NOT NULL,
      closed_in_order INTEGER NOT NULL
    );
    INSERT INTO node VALUES (1, lower(hex(randomblob(16))), 1);
    CREATE TABLE registration (
      did TEXT PRIMARY KEY,
      terms_hash TEXT,
      registered_at TEXT NOT NULL
    ) WITHOUT ROWID;

    ALTER TABLE tenant ADD COLUMN head INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tenant ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tenant ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE message ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE message ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE message ADD COLUMN attester TEXT;
    ALTER TABLE message ADD COLUMN grant_id TEXT;
    ALTER TABLE message ADD COLUMN share INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE message ADD COLUMN arrived TEXT;
    UPDATE message SET
      position = ranked.position,
      size = length(CAST(json AS BLOB)) + CASE WHEN has_data THEN coalesce(data_size, 0) ELSE 0 END
      FROM (SELECT id, row_number() OVER (PARTITION BY tenant ORDER BY id) AS position FROM message) AS ranked
      WHERE ranked.id = message.id;
    UPDATE tenant SET
      head = coalesce((SELECT max(position) FROM message WHERE tenant = tenant.id), 0),
      messages = (SELECT count(*) FROM message WHERE tenant = tenant.id),
      bytes = coalesce((SELECT sum(size) FROM message WHERE tenant = tenant.id), 0);
    CREATE TRIGGER message_added AFTER INSERT ON message BEGIN
      UPDATE tenant SET messages = messages + 1, bytes = bytes + new.size WHERE id = new.tenant;
    END;
    CREATE TRIGGER message_resized AFTER UPDATE OF size ON message BEGIN
      UPDATE tenant SET bytes = bytes + new.size - old.size WHERE id = new.tenant;
    END;
    CREATE TRIGGER message_removed AFTER DELETE ON message BEGIN
      UPDATE tenant SET messages = messages - 1, bytes = bytes - old.size WHERE id = old.tenant;
    END;

    CREATE TABLE data_file (
      message INTEGER PRIMARY KEY REFERENCES message(id) ON DELETE CASCADE,
      name TEXT NOT NULL
    );
    CREATE INDEX data_file_name ON data_file(name);
    CREATE TABLE dropped_file (name TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TRIGGER data_file_dropped AFTER DELETE ON data_file BEGIN
      INSERT OR IGNORE INTO dropped_file VALUES (old.name);
    END;

    ALTER TABLE tag RENAME TO tag_before;
    CREATE TABLE tag (
      message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE,
      tenant INTEGER NOT NULL,
      name TEXT NOT NULL,
      text_value TEXT,
      number_value REAL,
      bool_value INTEGER
    );
    INSERT INTO tag SELECT message, message.tenant, name, text_value, number_value, bool_value
      FROM tag_before JOIN message ON message.id = message ORDER BY tag_before.rowid;
    DROP TABLE tag_before;
    CREATE INDEX tag_message ON tag(message, name);
    CREATE INDEX tag_text ON tag(tenant, name, text_value) WHERE text_value IS NOT NULL;
    CREATE INDEX tag_number ON tag(tenant, name, number_value) WHERE number_value IS NOT NULL;
    CREATE INDEX tag_bool ON tag(tenant, name, bool_value) WHERE bool_value IS NOT NULL;

    DROP INDEX message_context;
    DROP INDEX message_recipient;
    DROP INDEX message_siblings;
    DROP INDEX message_configure;
    CREATE UNIQUE INDEX message_feed ON message(tenant, position);
    CREATE INDEX message_context ON message(tenant, context_id) WHERE context_id IS NOT NULL;
    CREATE INDEX message_siblings ON message(tenant, protocol, path, parent_context, timestamp, cid)
      WHERE parent_context IS NOT NULL;
    CREATE INDEX message_configure ON message(tenant, protocol, timestamp, cid) WHERE kind = 'configure';
    CREATE INDEX message_parent ON message(tenant, parent_id) WHERE parent_id IS NOT NULL;
    CREATE INDEX message_protocol ON message(tenant, protocol, date_created, cid) WHERE is_latest;
    CREATE INDEX message_path ON message(tenant, protocol, path, date_created, cid) WHERE is_latest;
    CREATE INDEX message_public ON message(tenant, protocol, path, parent_context, date_created, cid)
      WHERE is_latest AND published;
    CREATE INDEX message_recipient ON message(tenant, recipient, protocol, path, parent_context, date_created, cid)
      WHERE is_latest AND recipient IS NOT NULL;
    CREATE INDEX message_author ON message(tenant, author, protocol, path, parent_context, date_created, cid)
      WHERE is_latest;
    CREATE INDEX message_schema ON message(tenant, schema, date_created, cid) WHERE is_latest AND schema IS NOT NULL;
    CREATE INDEX message_attester ON message(tenant, attester, date_created, cid)
      WHERE is_latest AND attester IS NOT NULL;
    CREATE INDEX message_data ON message(tenant, data_cid) WHERE is_latest AND data_cid IS NOT NULL;
    CREATE INDEX message_created ON message(tenant, date_created, cid) WHERE is_latest;
    CREATE INDEX message_updated ON message(tenant, timestamp, cid) WHERE is_latest;
    CREATE INDEX message_published ON message(tenant, date_published, cid) WHERE is_latest AND published;
    CREATE INDEX message_grant ON message(tenant, grant_id, timestamp) WHERE grant_id IS NOT NULL;
    CREATE INDEX message_anyone ON message(tenant, protocol, path, parent_context, author)
      WHERE is_latest AND share = 2;
    CREATE INDEX message_arrived ON message(tenant, arrived) WHERE is_latest AND share = 2;
    """

  /// What was let in because anyone may write there is found by its first write, whatever became of the record.
  private static let strangers = """
    DROP INDEX message_anyone;
    DROP INDEX message_arrived;
    CREATE INDEX message_anyone ON message(tenant, protocol, path, parent_context, author)
      WHERE is_initial AND share = 2;
    CREATE INDEX message_arrived ON message(tenant, protocol, path, parent_context, arrived)
      WHERE is_initial AND share = 2;
    """

  /// What queries and feeds are asked all the time, so that no definition and no whole feed is looked at for it.
  private static let queries = DurableDatabase.SchemaStep { database in
    try database.execute(
      sql: """
        CREATE TABLE query_rule (
          message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE,
          tenant INTEGER NOT NULL,
          protocol TEXT NOT NULL,
          path TEXT NOT NULL,
          maximum INTEGER
        );
        CREATE INDEX query_rule_message ON query_rule(message);
        CREATE INDEX query_rule_limit ON query_rule(tenant, protocol, path) WHERE maximum IS NOT NULL;
        CREATE INDEX query_rule_deep ON query_rule(tenant, protocol, path) WHERE maximum IS NULL;
        ALTER TABLE tenant ADD COLUMN fingerprint0 INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE tenant ADD COLUMN fingerprint1 INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE tenant ADD COLUMN fingerprint2 INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE tenant ADD COLUMN fingerprint3 INTEGER NOT NULL DEFAULT 0;
        """)
    let definitions = try Row.fetchCursor(
      database, sql: "SELECT id, tenant, protocol, is_latest, json FROM message WHERE kind = 'configure'")
    while let row = try definitions.next() {
      guard let rules = QueryRules(configure: row[4]) else { continue }
      try SQLiteQueryRules.insert(rules, message: row[0], isLatest: row[3], row[1], row[2], database)
    }
    try FeedFingerprint.countAnew(database)
  }

  /// What the node was told to hold at most, for those who look at it from outside.
  private static let bounds = """
    ALTER TABLE node ADD COLUMN largest_total INTEGER;
    ALTER TABLE node ADD COLUMN most_tenants INTEGER;
    ALTER TABLE node ADD COLUMN free_disk INTEGER;
    """

  /// What others than the tenant have stored is summed up beside the whole.
  private static let guests = """
    ALTER TABLE tenant ADD COLUMN guest_messages INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tenant ADD COLUMN guest_bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE tenant SET
      guest_messages = (SELECT count(*) FROM message WHERE tenant = tenant.id AND share <> 0),
      guest_bytes = coalesce((SELECT sum(size) FROM message WHERE tenant = tenant.id AND share <> 0), 0);
    DROP TRIGGER message_added;
    DROP TRIGGER message_resized;
    DROP TRIGGER message_removed;
    CREATE TRIGGER message_added AFTER INSERT ON message BEGIN
      UPDATE tenant SET messages = messages + 1, bytes = bytes + new.size,
        guest_messages = guest_messages + (new.share <> 0), guest_bytes = guest_bytes + (new.share <> 0) * new.size
        WHERE id = new.tenant;
    END;
    CREATE TRIGGER message_resized AFTER UPDATE OF size, share ON message BEGIN
      UPDATE tenant SET bytes = bytes + new.size - old.size,
        guest_messages = guest_messages + (new.share <> 0) - (old.share <> 0),
        guest_bytes = guest_bytes + (new.share <> 0) * new.size - (old.share <> 0) * old.size
        WHERE id = new.tenant;
    END;
    CREATE TRIGGER message_removed AFTER DELETE ON message BEGIN
      UPDATE tenant SET messages = messages - 1, bytes = bytes - old.size,
        guest_messages = guest_messages - (old.share <> 0), guest_bytes = guest_bytes - (old.share <> 0) * old.size
        WHERE id = old.tenant;
    END;
    """

  /// What each guest has stored is summed up, so that none takes the room of all. Who has nothing left has no row.
  private static let shares = """
    CREATE TABLE guest (
      tenant INTEGER NOT NULL REFERENCES tenant(id),
      author TEXT NOT NULL,
      messages INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      PRIMARY KEY (tenant, author)
    ) WITHOUT ROWID;
    INSERT INTO guest
      SELECT tenant, author, count(*), sum(size) FROM message NOT INDEXED WHERE share <> 0 GROUP BY tenant, author;
    CREATE TRIGGER guest_added AFTER INSERT ON message WHEN new.share <> 0 BEGIN
      INSERT INTO guest VALUES (new.tenant, new.author, 1, new.size)
        ON CONFLICT DO UPDATE SET messages = messages + 1, bytes = bytes + excluded.bytes;
    END;
    CREATE TRIGGER guest_resized AFTER UPDATE OF size, share ON message WHEN old.share <> 0 OR new.share <> 0 BEGIN
      UPDATE guest SET messages = messages - 1, bytes = bytes - old.size
        WHERE old.share <> 0 AND tenant = old.tenant AND author = old.author;
      INSERT INTO guest SELECT new.tenant, new.author, 1, new.size WHERE new.share <> 0
        ON CONFLICT DO UPDATE SET messages = messages + 1, bytes = bytes + excluded.bytes;
      DELETE FROM guest WHERE tenant = old.tenant AND author = old.author AND messages = 0;
    END;
    CREATE TRIGGER guest_removed AFTER DELETE ON message WHEN old.share <> 0 BEGIN
      UPDATE guest SET messages = messages - 1, bytes = bytes - old.size
        WHERE tenant = old.tenant AND author = old.author;
      DELETE FROM guest WHERE tenant = old.tenant AND author = old.author AND messages = 0;
    END;
    """

  /// The payload of a write or of a delete is looked for among the messages of its record.
  private static let payloads = """
    DROP INDEX message_element;
    CREATE INDEX message_element ON message(tenant, element) WHERE kind = 'configure';
    """

  /// What comes in is counted with its position, by `SQLiteTransaction`: a statement with triggers keeps a copy of every page it changes.
  private static let arrivals = """
    DROP TRIGGER IF EXISTS message_added;
    DROP TRIGGER IF EXISTS guest_added;
    """
}
