#include "serve/traffic.h"

#include <algorithm>
#include <charconv>
#include <chrono>

#include "base/log.h"

namespace serve {
namespace {

constexpr int64_t kTrimEveryUs = 3'600'000'000;
constexpr size_t kMaxUnkept = 10'000;

// "0.001:12 0.002:3 +:1": the bounds travel with the counts, so that they may change between versions.
std::string to_text(const LatencyCounts& latency) {
  std::string out;
  for (size_t i = 0; i < latency.counts.size(); ++i) {
    if (latency.counts[i] == 0) continue;
    if (!out.empty()) out += ' ';
    char text[32];
    if (i < latency.bounds.size())
      out.append(text, std::to_chars(text, text + sizeof text, latency.bounds[i]).ptr);
    else
      out += '+';
    out += ':';
    out += std::to_string(latency.counts[i]);
  }
  return out;
}

LatencyCounts from_text(std::string_view text) {
  LatencyCounts out;
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(one.size() + 1, text.size()));
    const size_t colon = one.find(':');
    if (colon == std::string_view::npos) continue;
    uint64_t count = 0;
    std::from_chars(one.data() + colon + 1, one.data() + one.size(), count);
    double bound = 0;
    if (one[0] != '+') {
      std::from_chars(one.data(), one.data() + colon, bound);
      out.bounds.push_back(bound);
    }
    out.counts.push_back(count);
  }
  if (out.counts.size() == out.bounds.size()) out.counts.push_back(0);
  return out;
}

TrafficPoint read(const LiveEndpoint& live) {
  TrafficPoint totals;
  totals.requests = static_cast<int64_t>(live.requests->value());
  totals.failures = static_cast<int64_t>(live.failures->value());
  totals.faults = static_cast<int64_t>(live.faults->value());
  totals.rows = static_cast<int64_t>(live.rows->value());
  totals.seconds = live.seconds->sum();
  const auto bounds = live.seconds->bounds();
  totals.latency = {{bounds.begin(), bounds.end()}, live.seconds->counts()};
  return totals;
}

TrafficPoint minus(TrafficPoint now, const TrafficPoint& before) {
  now.requests -= before.requests;
  now.failures -= before.failures;
  now.faults -= before.faults;
  now.rows -= before.rows;
  now.seconds = std::max(0.0, now.seconds - before.seconds);
  for (size_t i = 0; i < std::min(now.latency.counts.size(), before.latency.counts.size()); ++i)
    now.latency.counts[i] -= before.latency.counts[i];
  return now;
}

}  // namespace

void LatencyCounts::add(const LatencyCounts& other) {
  std::map<double, uint64_t> sum;
  uint64_t open = 0;
  for (const LatencyCounts* side : {static_cast<const LatencyCounts*>(this), &other}) {
    for (size_t i = 0; i < side->counts.size(); ++i)
      i < side->bounds.size() ? sum[side->bounds[i]] += side->counts[i] : open += side->counts[i];
  }
  bounds.clear();
  counts.clear();
  for (const auto& [bound, count] : sum) bounds.push_back(bound), counts.push_back(count);
  counts.push_back(open);
}

uint64_t LatencyCounts::total() const {
  uint64_t n = 0;
  for (const uint64_t count : counts) n += count;
  return n;
}

std::optional<double> LatencyCounts::quantile(double share) const {
  const uint64_t all = total();
  if (all == 0) return std::nullopt;
  const double wanted = share * static_cast<double>(all);
  double below = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const auto here = static_cast<double>(counts[i]);
    if (here > 0 && below + here >= wanted) {
      if (i >= bounds.size()) return bounds.empty() ? 0 : bounds.back();  // past the last bound: at least that
      // Empty buckets are not stored, so the lower end may be the bucket before an empty one: bounds grow by halves.
      const double high = bounds[i], low = std::max(i > 0 ? bounds[i - 1] : 0.0, high / 2);
      return low + (high - low) * (wanted - below) / here;
    }
    below += here;
  }
  return bounds.empty() ? 0 : bounds.back();
}

void TrafficPoint::add(const TrafficPoint& other) {
  requests += other.requests;
  failures += other.failures;
  faults += other.faults;
  rows += other.rows;
  seconds += other.seconds;
  latency.add(other.latency);
}

base::Result<std::vector<TrafficPoint>> traffic(store::Tx& tx, const TrafficQuery& query) {
  const int64_t step = std::max(query.step_us / kTrafficStepUs, int64_t{1}) * kTrafficStepUs;
  if ((query.to_us - query.from_us) / step > static_cast<int64_t>(kMaxTrafficPoints))
    return base::invalid("the time range holds more than " + std::to_string(kMaxTrafficPoints) +
                         " steps; ask for longer ones");
  std::map<std::pair<int64_t, int64_t>, TrafficPoint> points;
  store::Rows rows = tx.query(
      "SELECT at_us, revision, requests, failures, row_count, seconds, buckets, faults FROM endpoint_traffic "
      "WHERE project = ? AND endpoint = ? AND at_us >= ? AND at_us < ? ORDER BY at_us",
      tx.project(), query.endpoint, query.from_us, query.to_us);
  while (rows.next()) {
    TrafficPoint read{.at_us = rows.i64(0) / step * step,
                      .revision = query.by_revision ? rows.i64(1) : 0,
                      .requests = rows.i64(2),
                      .failures = rows.i64(3),
                      .rows = rows.i64(4),
                      .faults = rows.i64(7),
                      .seconds = rows.f64(5),
                      .latency = from_text(rows.text(6))};
    const auto [at, fresh] = points.try_emplace({read.at_us, read.revision}, read);
    if (!fresh) at->second.add(read);
  }
  TRY(tx.status());
  std::vector<TrafficPoint> out;
  for (auto& [key, point] : points) out.push_back(std::move(point));
  return out;
}

base::Result<std::vector<MirrorPoint>> mirrored(store::Tx& tx, std::string_view endpoint, int64_t from_us,
                                                int64_t to_us) {
  std::vector<MirrorPoint> out;
  store::Rows rows = tx.query(
      "SELECT revision, shadow, SUM(requests), SUM(row_count), SUM(agreed), SUM(failures), SUM(dropped), SUM(scored), "
      "SUM(difference), MAX(most), SUM(seconds), MAX(at_us) FROM endpoint_mirror WHERE project = ? AND endpoint = ? "
      "AND "
      "at_us >= ? AND at_us < ? GROUP BY revision, shadow ORDER BY revision, shadow",
      tx.project(), endpoint, from_us, to_us);
  while (rows.next()) {
    out.push_back({.at_us = rows.i64(11),
                   .revision = rows.i64(0),
                   .shadow = rows.i64(1),
                   .requests = rows.i64(2),
                   .rows = rows.i64(3),
                   .agreed = rows.i64(4),
                   .failures = rows.i64(5),
                   .dropped = rows.i64(6),
                   .scored = rows.i64(7),
                   .difference = rows.f64(8),
                   .most = rows.f64(9),
                   .seconds = rows.f64(10)});
  }
  TRY(tx.status());
  return out;
}

TrafficSampler::TrafficSampler(store::Store& store, Runtime& runtime, const base::Clock& clock, bool own_thread)
    : store_(store), runtime_(runtime), clock_(clock) {
  if (own_thread) thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

TrafficSampler::~TrafficSampler() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  sample();
}

void TrafficSampler::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    // On the step's end, so that samples of all endpoints and servers meet.
    const int64_t wait_us = kTrafficStepUs - clock_.wall_us() % kTrafficStepUs;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, std::chrono::microseconds(wait_us), [] { return false; });
    }
    if (!stop.stop_requested()) sample();
  }
}

void TrafficSampler::sample() {
  std::vector<Row> rows = std::move(unkept_);
  unkept_.clear();
  for (Row& row : differences()) rows.push_back(std::move(row));
  if (rows.size() > kMaxUnkept) rows.erase(rows.begin(), rows.end() - kMaxUnkept);
  const int64_t now_us = clock_.wall_us();
  if (!rows.empty()) keep(rows);
  keep_mirrored();
  if (now_us - trimmed_us_ < kTrimEveryUs) return;
  trimmed_us_ = now_us;
  const auto trim = [before = now_us - kTrafficKeepUs](store::Tx& tx) -> base::Result<void> {
    std::vector<std::pair<int64_t, std::string>> endpoints;
    {
      store::Rows all = tx.query("SELECT DISTINCT project, endpoint FROM endpoint_traffic");
      while (all.next()) endpoints.emplace_back(all.i64(0), all.str(1));
    }
    for (const auto& [project, endpoint] : endpoints) {
      tx.exec("DELETE FROM endpoint_traffic WHERE project = ? AND endpoint = ? AND at_us < ?", project, endpoint,
              before);
      tx.exec("DELETE FROM endpoint_mirror WHERE project = ? AND endpoint = ? AND at_us < ?", project, endpoint,
              before);
    }
    return tx.status();
  };
  if (auto done = store_.write_blocking(base::Context::system(clock_, "system:traffic"), trim); !done)
    base::log::warn("old traffic was not trimmed", {{"error", done.error().message}});
}

std::vector<TrafficSampler::Row> TrafficSampler::differences() {
  for (const auto& live : runtime_.loaded()) {
    Seen& seen = seen_[live->requests];
    seen.project = live->project;
    seen.endpoint = live->name;
    seen.live = live;
  }
  // The step that has just ended; a sample between two ends counts to the step that is open.
  const int64_t at_us = (clock_.wall_us() - kTrafficStepUs / 2) / kTrafficStepUs * kTrafficStepUs;
  std::vector<Row> rows;
  for (auto& [instrument, seen] : seen_) {
    const TrafficPoint now = read(*seen.live);
    if (now.requests == seen.totals.requests) continue;
    TrafficPoint point = minus(now, seen.totals);
    point.at_us = at_us;
    point.revision = seen.live->revision.number;
    seen.totals = now;
    rows.push_back({seen.project, seen.endpoint, std::move(point)});
  }
  return rows;
}

void TrafficSampler::keep(const std::vector<Row>& rows) {
  const auto put = [&rows](store::Tx& tx) -> base::Result<void> {
    for (const auto& [project, endpoint, point] : rows) {
      // A server that starts again within a step adds to what the one before it left.
      TrafficPoint whole = point;
      {
        store::Rows old = tx.query(
            "SELECT requests, failures, row_count, seconds, buckets, faults FROM endpoint_traffic WHERE project = ? "
            "AND "
            "endpoint = ? AND at_us = ? AND revision = ?",
            project, endpoint, point.at_us, point.revision);
        if (old.next()) {
          whole.add({.requests = old.i64(0),
                     .failures = old.i64(1),
                     .rows = old.i64(2),
                     .faults = old.i64(5),
                     .seconds = old.f64(3),
                     .latency = from_text(old.text(4))});
        }
      }
      tx.exec(
          "INSERT INTO endpoint_traffic (project, endpoint, at_us, revision, requests, failures, row_count, seconds, "
          "buckets, faults) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, endpoint, at_us, revision) DO "
          "UPDATE SET "
          "requests = excluded.requests, failures = excluded.failures, row_count = excluded.row_count, seconds = "
          "excluded.seconds, buckets = excluded.buckets, faults = excluded.faults",
          project, endpoint, whole.at_us, whole.revision, whole.requests, whole.failures, whole.rows, whole.seconds,
          to_text(whole.latency), whole.faults);
    }
    return tx.status();
  };
  if (auto done = store_.write_blocking(base::Context::system(clock_, "system:traffic"), put); !done) {
    if (done.error().code == base::Code::kCancelled) return;
    base::log::warn("traffic was not stored; it is tried again", {{"error", done.error().message}});
    unkept_ = rows;
  }
}

void TrafficSampler::keep_mirrored() {
  if (Mirror* mirror = runtime_.mirror()) {
    const int64_t at_us = (clock_.wall_us() - kTrafficStepUs / 2) / kTrafficStepUs * kTrafficStepUs;
    for (Mirror::Comparison& one : mirror->take()) {
      one.point.at_us = at_us;
      unkept_mirrored_.push_back(std::move(one));
    }
  }
  if (unkept_mirrored_.size() > kMaxUnkept)
    unkept_mirrored_.erase(unkept_mirrored_.begin(), unkept_mirrored_.end() - kMaxUnkept);
  if (unkept_mirrored_.empty()) return;
  const auto put = [this](store::Tx& tx) -> base::Result<void> {
    for (const auto& [project, endpoint, p] : unkept_mirrored_) {
      tx.exec(
          "INSERT INTO endpoint_mirror (project, endpoint, at_us, revision, shadow, requests, row_count, agreed, "
          "failures, dropped, scored, difference, most, seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON "
          "CONFLICT (project, endpoint, at_us, revision, shadow) DO UPDATE SET requests = endpoint_mirror.requests + "
          "excluded.requests, row_count = endpoint_mirror.row_count + excluded.row_count, agreed = "
          "endpoint_mirror.agreed + excluded.agreed, failures = endpoint_mirror.failures + excluded.failures, dropped "
          "= endpoint_mirror.dropped + excluded.dropped, scored = endpoint_mirror.scored + excluded.scored, difference "
          "= endpoint_mirror.difference + excluded.difference, most = CASE WHEN excluded.most > endpoint_mirror.most "
          "THEN excluded.most ELSE endpoint_mirror.most END, seconds = endpoint_mirror.seconds + excluded.seconds",
          project, endpoint, p.at_us, p.revision, p.shadow, p.requests, p.rows, p.agreed, p.failures, p.dropped,
          p.scored, p.difference, p.most, p.seconds);
    }
    return tx.status();
  };
  const auto done = store_.write_blocking(base::Context::system(clock_, "system:traffic"), put);
  if (done)
    unkept_mirrored_.clear();
  else if (done.error().code != base::Code::kCancelled)
    base::log::warn("the mirror's comparison was not stored; it is tried again", {{"error", done.error().message}});
}

}  // namespace serve
