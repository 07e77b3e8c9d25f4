// Numbered, forward-only migrations, kept per module so that two modules never fight for a number. A migration that has
// run is never edited (its checksum is stored and compared). SQL is the common subset; these type names are replaced:
//   $id      integer primary key that the database hands out     (INTEGER PRIMARY KEY | BIGINT GENERATED … PRIMARY KEY)
//   $int     64-bit integer                                      (INTEGER | BIGINT)
//   $double  64-bit float                                        (REAL | DOUBLE PRECISION)
//   $text    UTF-8 text in byte order                            (TEXT | TEXT COLLATE "C")
//   $blob    bytes                                               (BLOB | BYTEA)
//   $without_rowid  at the end of CREATE TABLE                   (WITHOUT ROWID | nothing)
//   $txid    default value: the transaction that inserts         (0 | pg_current_xact_id())
// A statement that begins with $sqlite or $postgres runs there only. SQLite's tables are made STRICT, so that a value
// of the wrong type is refused on both. Every table of a domain has `project $int NOT NULL`, first in its unique keys
// and indices.
#pragma once

#include <span>
#include <string_view>

namespace store {

struct Migration {
  int number;            // 1, 2, 3, … within the module
  std::string_view sql;  // several statements, separated by ';' at the end of a line
};

struct ModuleMigrations {
  std::string_view module;  // "core", "track", …; applied in the order of the list given to Store::open
  std::span<const Migration> migrations;
};

}  // namespace store
