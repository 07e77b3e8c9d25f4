// Lathe's version; the number lives in the top CMakeLists.txt.
#pragma once

#include <string_view>

namespace server {
inline constexpr std::string_view kVersion = LATHE_VERSION;
}
