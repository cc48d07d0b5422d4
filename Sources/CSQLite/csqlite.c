#include "CSQLite.h"

#include <sqlite3.h>

int csqlite_keep_savepoints(int bytes) { return sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, bytes); }
