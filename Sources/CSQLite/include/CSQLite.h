// What Swift cannot call of SQLite, since it takes arguments of any number.
#pragma once

// What a savepoint may have to undo stays in memory up to so many bytes, and goes to a temporary file from there on: less than 128 KiB,
// since it goes there in one piece, of which SQLite writes no more at once. Heard before SQLite is used for the first time in a
// process; later it changes nothing. Returns a result code of SQLite.
int csqlite_keep_savepoints(int bytes);
