// Which way a metric is better, by its name, as the browser's pages judge it too (web/src/lib/tracking.ts).
// Thread: pure.
#pragma once

#include <string_view>

#include "track/search_ast.h"

namespace track {

// kMin for names with a word like loss, error or latency; kMax for the rest.
Pick best_of(std::string_view metric);

}  // namespace track
