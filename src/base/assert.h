// Assertions for our own mistakes; on in release. User input never reaches one.
#pragma once

namespace base {
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);
}

#define ASSERT_ALWAYS(expr) ((expr) ? static_cast<void>(0) : ::base::assertion_failed(#expr, __FILE__, __LINE__))
