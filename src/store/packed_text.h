// Long texts, kept small: SQLite gets them compressed, PostgreSQL as they are, because it compresses long values by
// itself. A search reads them through packed_text_sql(), so a LIKE or a regular expression works on both.
//
//     tx.exec("INSERT INTO things (…, content) VALUES (…, ?)", store::Blob{pack_text(tx.backend(), text)});
//
// The column is $blob. Thread: pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/tx.h"

struct sqlite3;

namespace store {

inline constexpr size_t kPackedTextBytes = size_t{64} << 20;  // of one text, unpacked; more is refused

std::string pack_text(Backend backend, std::string_view text);
base::Result<std::string> unpack_text(Backend backend, std::string_view packed);

// "<the text of this column>", to be compared.
std::string packed_text_sql(Backend backend, std::string_view column);
// "<text> contains <pattern>": kInvalid for a pattern that RE2 refuses. The condition itself is
// "<column> REGEXP ?" on SQLite and "<column> ~ ?" on PostgreSQL.
base::Result<void> check_regex(std::string_view pattern);

namespace detail {
// unpacked(blob) and regexp(pattern, text) for a connection of SQLite. The SQLite error code.
int register_text_functions(sqlite3* db);
}  // namespace detail

}  // namespace store
