#include "api/pages/pack.h"

extern "C" const char lathe_pages_begin[];  // NOLINT(readability-identifier-naming): named in CMakeLists.txt's assembly
extern "C" const char lathe_pages_end[];    // NOLINT(readability-identifier-naming)

namespace api::pages {

std::string_view embedded_pack() { return {lathe_pages_begin, lathe_pages_end}; }

}  // namespace api::pages
