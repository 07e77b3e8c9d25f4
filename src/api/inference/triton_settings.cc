#include "api/inference/triton_settings.h"

#include "base/log.h"
#include "base/log_level.h"
#include "net/access.h"

namespace api::inference {
namespace {

std::unexpected<base::Error> refuse(std::string_view name) {
  return base::fail(base::Code::kUnsupported,
                    "the log setting '" + std::string(name.substr(0, 80)) +
                        "' is not offered; settable are log_verbose_level, log_info and log_warning");
}

}  // namespace

LogState log_settings_now() {
  using base::log::Level;
  return {.info = base::log::enabled(Level::kInfo),
          .warning = base::log::enabled(Level::kWarn),
          .verbose = base::log::enabled(Level::kDebug)};
}

base::Result<void> LogChange::set(std::string_view name, bool value) {
  if (name == "log_info") {
    info_ = value;
  } else if (name == "log_warning") {
    warning_ = value;
  } else if (name != "log_error" || !value) {  // errors are always told
    return refuse(name);
  }
  return {};
}

base::Result<void> LogChange::set(std::string_view name, int64_t value) {
  if (name != "log_verbose_level") return refuse(name);
  if (value < 0) return base::invalid("'log_verbose_level' is " + std::to_string(value) + "; allowed: 0 and above");
  verbose_ = value > 0;
  return {};
}

base::Result<void> LogChange::set(std::string_view name, std::string_view value) {
  if ((name == "log_file" && value.empty()) || (name == "log_format" && value == kLogFormat)) return {};  // as it is
  return refuse(name);
}

base::Result<void> LogChange::apply(const net::Request& request) const {
  using base::log::Level;
  if (!request.grant || !request.grant->rules_server)
    return base::fail(base::Code::kForbidden, "log settings are changed by administrators of the server");
  LogState wanted = log_settings_now();
  if (info_) wanted.info = *info_;
  if (warning_) wanted.warning = *warning_;
  if (verbose_) wanted.verbose = *verbose_;
  // One level decides: what is more important than something that is told is told, too.
  const Level level = wanted.verbose   ? Level::kDebug
                      : wanted.info    ? Level::kInfo
                      : wanted.warning ? Level::kWarn
                                       : Level::kError;
  base::log::set_level(level);
  base::log::warn("log level changed", {{"actor", request.ctx.actor.name}, {"level", static_cast<int>(level)}});
  return {};
}

}  // namespace api::inference
