#include "base/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/assert.h"

namespace base {
namespace {

enum Type : int { kCounter, kGauge, kHistogram };

void append_number(std::string& out, double value) {
  if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else if (std::isnan(value)) {
    out += "NaN";
  } else {
    char buffer[32];
    out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
  }
}

// Label values escape backslash, quote and newline (exposition format 0.0.4).
void append_labels(std::string& out, const Registry::Labels& labels, const std::string* le = nullptr) {
  if (labels.empty() && !le) return;
  out += '{';
  bool first = true;
  const auto one = [&](std::string_view key, std::string_view value) {
    if (!first) out += ',';
    first = false;
    out.append(key).append("=\"");
    for (char c : value) {
      if (c == '\\' || c == '"') out += '\\';
      if (c == '\n')
        out += "\\n";
      else
        out += c;
    }
    out += '"';
  };
  for (const auto& [key, value] : labels) one(key, value);
  if (le) one("le", *le);
  out += '}';
}

}  // namespace

Histogram::Histogram(std::span<const double> bounds)
    : bounds_(bounds.begin(), bounds.end()), buckets_(bounds.size() + 1) {
  ASSERT_ALWAYS(std::is_sorted(bounds_.begin(), bounds_.end()));
}

void Histogram::observe(double value) {
  const auto bucket = size_t(std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin());
  buckets_[bucket].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

std::vector<uint64_t> Histogram::counts() const {
  std::vector<uint64_t> out;
  out.reserve(buckets_.size());
  for (const auto& bucket : buckets_) out.push_back(bucket.load(std::memory_order_relaxed));
  return out;
}

struct Registry::Series {
  Labels labels;
  std::unique_ptr<Counter> counter;
  std::unique_ptr<Gauge> gauge;
  std::unique_ptr<Histogram> histogram;
  std::function<double()> read;
};

struct Registry::Family {
  std::string name, help;
  int type;
  std::vector<std::unique_ptr<Series>> series;
};

Registry::Registry() = default;
Registry::~Registry() = default;

Registry::Series& Registry::series(std::string_view name, std::string_view help, int type, Labels labels) {
  auto family = std::find_if(families_.begin(), families_.end(), [&](const auto& f) { return f->name == name; });
  if (family == families_.end()) {
    families_.push_back(std::make_unique<Family>(Family{std::string(name), std::string(help), type, {}}));
    family = families_.end() - 1;
  }
  ASSERT_ALWAYS((*family)->type == type);
  for (auto& one : (*family)->series) {
    if (one->labels == labels) return *one;
  }
  (*family)->series.push_back(std::make_unique<Series>(Series{std::move(labels), {}, {}, {}, {}}));
  return *(*family)->series.back();
}

Counter& Registry::counter(std::string_view name, std::string_view help, Labels labels) {
  std::lock_guard guard(mutex_);
  Series& s = series(name, help, kCounter, std::move(labels));
  if (!s.counter) s.counter = std::make_unique<Counter>();
  return *s.counter;
}

Gauge& Registry::gauge(std::string_view name, std::string_view help, Labels labels) {
  std::lock_guard guard(mutex_);
  Series& s = series(name, help, kGauge, std::move(labels));
  if (!s.gauge) s.gauge = std::make_unique<Gauge>();
  return *s.gauge;
}

Histogram& Registry::histogram(std::string_view name, std::string_view help, std::span<const double> bounds,
                               Labels labels) {
  std::lock_guard guard(mutex_);
  Series& s = series(name, help, kHistogram, std::move(labels));
  if (!s.histogram) s.histogram = std::make_unique<Histogram>(bounds);
  return *s.histogram;
}

void Registry::gauge_fn(std::string_view name, std::string_view help, std::function<double()> read, Labels labels) {
  std::lock_guard guard(mutex_);
  series(name, help, kGauge, std::move(labels)).read = std::move(read);
}

std::string Registry::render() const {
  std::lock_guard guard(mutex_);
  std::string out;
  const auto line = [&](std::string_view name, std::string_view suffix, const Labels& labels, const std::string* le,
                        double value) {
    out.append(name).append(suffix);
    append_labels(out, labels, le);
    out += ' ';
    append_number(out, value);
    out += '\n';
  };
  for (const auto& family : families_) {
    constexpr std::string_view kTypes[] = {"counter", "gauge", "histogram"};
    out.append("# HELP ").append(family->name).append(1, ' ').append(family->help).append(1, '\n');
    out.append("# TYPE ").append(family->name).append(1, ' ').append(kTypes[family->type]).append(1, '\n');
    for (const auto& s : family->series) {
      if (s->counter) line(family->name, "", s->labels, nullptr, double(s->counter->value()));
      if (s->gauge) line(family->name, "", s->labels, nullptr, double(s->gauge->value()));
      if (s->read) line(family->name, "", s->labels, nullptr, s->read());
      if (s->histogram) {
        const Histogram& h = *s->histogram;
        uint64_t total = 0;
        for (size_t i = 0; i < h.buckets_.size(); ++i) {
          total += h.buckets_[i].load(std::memory_order_relaxed);
          std::string le;
          append_number(le, i < h.bounds_.size() ? h.bounds_[i] : INFINITY);
          line(family->name, "_bucket", s->labels, &le, double(total));
        }
        line(family->name, "_sum", s->labels, nullptr, h.sum_.load(std::memory_order_relaxed));
        line(family->name, "_count", s->labels, nullptr, double(total));
      }
    }
  }
  return out;
}

}  // namespace base
