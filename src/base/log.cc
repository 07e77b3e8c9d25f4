#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/log_level.h"

namespace base::log {
namespace {

std::atomic<Level> least_level{Level::kInfo};
std::atomic<bool> as_json{false};

// spdlog gives the locked, unbuffered sink; lines are composed here because JSON needs the fields apart.
spdlog::logger& logger() {
  static spdlog::logger instance = [] {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    sink->set_pattern("%v");
    spdlog::logger made("lathe", std::move(sink));
    made.set_level(spdlog::level::trace);
    return made;
  }();
  return instance;
}

std::string_view name(Level level) {
  switch (level) {
    case Level::kDebug: return "debug";
    case Level::kInfo: return "info";
    case Level::kWarn: return "warn";
    case Level::kError: return "error";
  }
  return "error";
}

// A field's text for people: quoted when a space or a control character would blur where it ends.
void append_plain(std::string& out, std::string_view text) {
  bool plain = !text.empty();
  for (unsigned char c : text) plain &= c > ' ' && c != '"' && c != '\\';
  if (plain) {
    out += text;
  } else {
    append_json_string(out, text);
  }
}

}  // namespace

Field::Field(std::string_view k, double v) : key(k), number(true) { append_double(text, v); }

void configure(Level least, bool json) {
  least_level = least;
  as_json = json;
}

void set_level(Level least) { least_level = least; }

bool enabled(Level level) { return level >= least_level.load(std::memory_order_relaxed); }

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  if (!enabled(level)) return;
  std::string line;
  const std::string at = format_iso8601(system_clock().wall_us());
  if (as_json) {
    JsonWriter json(line);
    json.begin_object().field("at", at).field("level", name(level)).field("message", message);
    for (const auto& field : fields) {
      json.key(field.key);
      if (field.number) {
        json.raw(field.text);
      } else {
        json.value(field.text);
      }
    }
    json.end_object();
  } else {
    line.append(at)
        .append(1, ' ')
        .append(name(level))
        .append(level == Level::kInfo || level == Level::kWarn ? "  " : " ");
    for (char c : message) line += c == '\n' || c == '\r' ? ' ' : c;  // one event, one line
    for (const auto& field : fields) {
      line.append(1, ' ').append(field.key).append(1, '=');
      append_plain(line, field.text);
    }
  }
  logger().log(spdlog::level::info, "{}", line);
}

}  // namespace base::log
