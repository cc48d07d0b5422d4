/// The tables of a node's database. Every table is read and written with the tenant at hand.
///
/// | table | one row is |
/// | --- | --- |
/// | `tenant` | a DID, so that messages name it by number |
/// | `message` | a message that is kept; `id` rises with every commit and is never used twice |
/// | `large_data` | data of a message beyond the inline limit |
/// | `tag` | one value of a tag of a record's newest write |
///
/// Of a record at most three messages are kept: the one that stands for it (`is_latest`), its initial write, and beside a delete
/// the newest write, both without data.
enum NodeSchema {
  static let steps: [DurableDatabase.SchemaStep] = [.init(sql: first)]

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
}
