// The written SQL subset (docs/design/sql.md) turned into each engine's own words. Pure functions. Thread: anywhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "store/tx.h"

namespace store::detail {

// A migration's text as the statements to run: split at ';' before a line's end, type names of migration.h replaced,
// statements for the other engine left out.
std::vector<std::string> translate_ddl(std::string_view sql, Backend backend);

// `?` becomes `$1`, `$2`, … outside of quotes and comments (PostgreSQL).
std::string number_parameters(std::string_view sql);

// UTF-8 without NUL: what both engines keep as it is.
bool is_storable_text(std::string_view text);

}  // namespace store::detail
