// Triton's log and trace settings, over REST and gRPC alike. Of the log's, what this server has is acted upon: its
// level; the rest, and all of the traces', is refused by name. They are the whole server's: its administrators'.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "net/http.h"

namespace api::inference {

inline constexpr std::string_view kLogFormat = "ISO8601";
// Traces go to the collector that the server was started with, by its sampler.
inline constexpr std::array<std::pair<std::string_view, const char*>, 6> kTraceSettings = {
    {{"trace_level", "OFF"},
     {"trace_rate", "1000"},
     {"trace_count", "-1"},
     {"log_frequency", "0"},
     {"trace_file", ""},
     {"trace_mode", "opentelemetry"}}};
inline constexpr std::string_view kNoTraceSettings =
    "trace settings are the server's: they are given when it starts (OTEL_… in its environment)";

struct LogState {
  bool info = true, warning = true, verbose = false;  // errors are always told
};
LogState log_settings_now();

// A change, gathered setting by setting and made at once.
class LogChange {
 public:
  base::Result<void> set(std::string_view name, bool value);
  base::Result<void> set(std::string_view name, int64_t value);
  base::Result<void> set(std::string_view name, std::string_view value);
  base::Result<void> apply(const net::Request& request) const;  // kForbidden to all but administrators

 private:
  std::optional<bool> info_, warning_, verbose_;
};

}  // namespace api::inference
