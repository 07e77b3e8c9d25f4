#include "serve/serving.h"

#include <algorithm>

#include "base/json.h"
#include "base/json_writer.h"
#include "serve/model.h"

namespace serve {
namespace {

namespace json = base::json;

base::Error unknown(std::string_view key, std::string_view allowed) {
  return base::Error{base::Code::kInvalid,
                     "serving: '" + std::string(key.substr(0, 80)) + "' is unknown; allowed: " + std::string(allowed)};
}

// Reads the keys of one object; the first error stays.
class Reader {
 public:
  explicit Reader(const json::object& from) : from_(from) {}

  template <class T>
  void number(std::string_view key, int64_t least, int64_t most, std::optional<T>& out, int64_t unit = 1) {
    const json::value* found = from_.if_contains(key);
    if (!found || error_) return;
    if (!found->is_int64() || found->as_int64() < least || found->as_int64() > most)
      return fail("serving: '" + std::string(key) + "' must be a whole number from " + std::to_string(least) + " to " +
                  std::to_string(most) + ", found " + base::to_text(*found).substr(0, 80));
    out = static_cast<T>(found->as_int64() * unit);
  }
  void text(std::string_view key, std::string& out) {
    const json::value* found = from_.if_contains(key);
    if (!found || error_) return;
    if (!found->is_string() || found->as_string().empty())
      return fail("serving: '" + std::string(key) + "' must be a text, found " + base::to_text(*found).substr(0, 80));
    out = found->as_string().c_str();
  }
  void fail(std::string message) {
    if (!error_) error_ = base::Error{base::Code::kInvalid, std::move(message)};
  }
  base::Result<void> done() const {
    if (error_) return std::unexpected(*error_);
    return {};
  }

 private:
  const json::object& from_;
  std::optional<base::Error> error_;
};

base::Result<void> check_keys(const json::object& object, std::initializer_list<std::string_view> known,
                              std::string_view shown) {
  for (const auto& entry : object) {
    if (std::ranges::find(known, std::string_view(entry.key())) == known.end())
      return std::unexpected(unknown(entry.key(), shown));
  }
  return {};
}

base::Result<void> read_batch(const json::value& value, ServingSettings& out) {
  TRY_SET(const json::object* wanted, base::as_object(value, "serving: 'batch'"));
  TRY(check_keys(*wanted, {"max_rows", "preferred", "max_delay_us", "queue"},
                 "max_rows, preferred, max_delay_us, queue (in batch)"));
  Reader reader(*wanted);
  reader.number("max_rows", 1, kMaxBatchRows, out.max_rows);
  reader.number("max_delay_us", 0, kMaxBatchDelayUs, out.max_delay_us);
  reader.number("queue", 1, 10'000, out.queue);
  if (const json::value* preferred = wanted->if_contains("preferred")) {
    out.preferred.emplace();
    if (!preferred->is_array()) return base::invalid("serving: 'preferred' must be a list of row counts");
    for (const json::value& size : preferred->as_array()) {
      if (!size.is_int64() || size.as_int64() < 1 ||
          size.as_int64() > static_cast<int64_t>(out.max_rows.value_or(kMaxBatchRows)))
        return base::invalid("serving: 'preferred' holds row counts from 1 to 'max_rows'");
      out.preferred->push_back(static_cast<size_t>(size.as_int64()));
    }
  }
  return reader.done();
}

template <class T>
std::optional<T> first(const std::optional<T>& a, const std::optional<T>& b) {
  return a ? a : b;
}

}  // namespace

base::Result<ServingSettings> read_serving(std::string_view text) {
  ServingSettings out;
  if (text.empty()) return out;
  TRY_SET(const json::value value, base::parse_json(text));
  TRY_SET(const json::object* object, base::as_object(value, "serving"));
  TRY(check_keys(*object,
                 {"min_workers", "max_workers", "concurrency", "memory_mb", "timeout_ms", "idle_ms", "python", "batch"},
                 "min_workers, max_workers, concurrency, memory_mb, timeout_ms, idle_ms, python, batch"));
  Reader reader(*object);
  reader.number("min_workers", 0, kMaxWorkers, out.min_workers);
  reader.number("max_workers", 1, kMaxWorkers, out.max_workers);
  reader.number("concurrency", 1, 64, out.concurrency);
  reader.number("memory_mb", kMinMemoryMb, kMaxMemoryMb, out.memory_mb);
  reader.number("timeout_ms", kMinRunUs / 1000, kMaxRunUs / 1000, out.timeout_us, 1000);
  reader.number("idle_ms", 0, kMaxIdleUs / 1000, out.idle_us, 1000);
  reader.text("python", out.python);
  TRY(reader.done());
  if (const json::value* batch = object->if_contains("batch")) TRY(read_batch(*batch, out));
  return out;
}

std::string to_json(const ServingSettings& s) {
  if (s == ServingSettings()) return "";
  std::string out;
  base::JsonWriter w(out);
  const auto field = [&w](std::string_view key, const auto& value, int64_t unit = 1) {
    if (value) w.field(key, static_cast<int64_t>(*value) / unit);
  };
  w.begin_object();
  field("min_workers", s.min_workers);
  field("max_workers", s.max_workers);
  field("concurrency", s.concurrency);
  field("memory_mb", s.memory_mb);
  field("timeout_ms", s.timeout_us, 1000);
  field("idle_ms", s.idle_us, 1000);
  if (!s.python.empty()) w.field("python", s.python);
  if (s.max_rows || s.preferred || s.max_delay_us || s.queue) {
    w.key("batch").begin_object();
    field("max_rows", s.max_rows);
    if (s.preferred) {
      w.key("preferred").begin_array();
      for (const size_t rows : *s.preferred) w.value(static_cast<int64_t>(rows));
      w.end_array();
    }
    field("max_delay_us", s.max_delay_us);
    field("queue", s.queue);
    w.end_object();
  }
  w.end_object();
  return out;
}

ServingSettings merged(const ServingSettings& over, const ServingSettings& under) {
  return {.min_workers = first(over.min_workers, under.min_workers),
          .max_workers = first(over.max_workers, under.max_workers),
          .concurrency = first(over.concurrency, under.concurrency),
          .memory_mb = first(over.memory_mb, under.memory_mb),
          .timeout_us = first(over.timeout_us, under.timeout_us),
          .idle_us = first(over.idle_us, under.idle_us),
          .max_rows = first(over.max_rows, under.max_rows),
          .preferred = first(over.preferred, under.preferred),
          .max_delay_us = first(over.max_delay_us, under.max_delay_us),
          .queue = first(over.queue, under.queue),
          .python = over.python.empty() ? under.python : over.python};
}

RunLimits run_limits(const ServingSettings& s) {
  RunLimits out;
  out.min_workers = s.min_workers.value_or(out.min_workers);
  out.max_workers = s.max_workers.value_or(out.max_workers);
  if (!s.max_workers) out.max_workers = std::max(out.max_workers, out.min_workers);
  // Where one side says the least and the other the most, the most counts.
  out.min_workers = std::min(out.min_workers, out.max_workers);
  out.memory_bytes = s.memory_mb.value_or(0) << 20;
  out.timeout_us = s.timeout_us.value_or(out.timeout_us);
  out.idle_us = s.idle_us.value_or(out.idle_us);
  return out;
}

BatchOptions batch_options(const ServingSettings& s, const BatchOptions& own) {
  BatchOptions out = own;
  out.max_rows = s.max_rows.value_or(out.max_rows);
  if (s.preferred) out.preferred = *s.preferred;
  std::erase_if(out.preferred, [&](size_t rows) { return rows > out.max_rows; });
  out.max_delay_us = s.max_delay_us.value_or(out.max_delay_us);
  out.queue = s.queue.value_or(out.queue);
  return out;
}

}  // namespace serve
