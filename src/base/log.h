// Structured log lines for people (text) or machines (JSON), one per event, to stderr. Thread: safe anywhere.
// log::info("stage started", {{"attempt", id}, {"pid", pid}});
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace base::log {

enum class Level : uint8_t { kDebug, kInfo, kWarn, kError };

struct Field {
  template <std::integral I>
  Field(std::string_view k, I v) : key(k), text(std::to_string(v)), number(true) {}
  Field(std::string_view k, double v);
  Field(std::string_view k, bool v) : key(k), text(v ? "true" : "false"), number(true) {}
  Field(std::string_view k, std::string_view v) : key(k), text(v) {}
  Field(std::string_view k, const char* v) : key(k), text(v) {}
  Field(std::string_view k, const std::string& v) : key(k), text(v) {}
  std::string_view key;
  std::string text;
  bool number = false;  // written bare in JSON
};

void configure(Level least, bool json);
bool enabled(Level level);
void write(Level level, std::string_view message, std::initializer_list<Field> fields = {});
inline void debug(std::string_view m, std::initializer_list<Field> f = {}) { write(Level::kDebug, m, f); }
inline void info(std::string_view m, std::initializer_list<Field> f = {}) { write(Level::kInfo, m, f); }
inline void warn(std::string_view m, std::initializer_list<Field> f = {}) { write(Level::kWarn, m, f); }
inline void error(std::string_view m, std::initializer_list<Field> f = {}) { write(Level::kError, m, f); }

}  // namespace base::log
