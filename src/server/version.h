#pragma once

#include <string_view>

namespace server {
inline constexpr std::string_view kVersion = LATHE_VERSION;
}
