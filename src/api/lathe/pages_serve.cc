#include "api/lathe/pages_serve.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <ranges>

#include "api/lathe/page_args.h"
#include "api/lathe/page_text.h"
#include "loop/apply.h"
#include "loop/promote.h"
#include "serve/graph.h"
#include "serve/traffic.h"
#include "stats/metrics.h"
#include "watch/watch.h"

namespace api::lathe {
namespace {

using base::Result;
using base::Task;

constexpr int64_t kSecondUs = 1'000'000, kHourUs = 3600 * kSecondUs;
constexpr int64_t kCardUs = kHourUs / 4, kCardStepUs = 30 * kSecondUs;
constexpr int64_t kWantedPoints = 240;  // of a chart, where the page does not say how fine
constexpr size_t kMarks = 200;
constexpr int64_t kMaxPage = 500;
constexpr size_t kScanBatch = 2000;     // captured requests read at once where labels decide
constexpr size_t kMaxScanned = 40'000;  // looked at for one answer; it then says how far back that was
constexpr size_t kMaxAnswer = size_t{8} << 20;
constexpr size_t kMaxRowsShown = 20;  // of one request

// --- traffic --------------------------------------------------------------------------------------------------------

void write_quantile(base::JsonWriter& w, std::string_view key, const serve::LatencyCounts& latency, double share) {
  w.key(key);
  if (const auto value = latency.quantile(share))
    w.value(*value);
  else
    w.null();
}

void write_latency(base::JsonWriter& w, const serve::TrafficPoint& p) {
  write_quantile(w, "p50", p.latency, 0.5);
  write_quantile(w, "p95", p.latency, 0.95);
  write_quantile(w, "p99", p.latency, 0.99);
}

void write_counts(base::JsonWriter& w, const serve::TrafficPoint& p) {
  w.field("requests", p.requests).field("failures", p.failures).field("faults", p.faults).field("rows", p.rows);
  w.field("seconds", p.seconds);
}

serve::TrafficPoint sum_of(const std::vector<serve::TrafficPoint>& points) {
  serve::TrafficPoint sum;
  for (const auto& point : points) sum.add(point);
  return sum;
}

void write_points(base::JsonWriter& w, const std::vector<serve::TrafficPoint>& points) {
  w.begin_array();
  for (const auto& p : points) {
    w.begin_object().field("at_us", p.at_us);
    write_counts(w, p);
    write_latency(w, p);
    w.end_object();
  }
  w.end_array();
}

// --- endpoints ------------------------------------------------------------------------------------------------------

struct Facts {
  serve::Endpoint endpoint;
  std::vector<serve::Revision> revisions;
  std::string pipeline;
};

Result<Facts> facts_of(store::Tx& tx, serve::Endpoint endpoint) {
  Facts out{.endpoint = std::move(endpoint)};
  out.revisions = serve::list_revisions(tx, out.endpoint.name);
  TRY_SET(const auto owner, loop::owner_of(tx, out.endpoint.name));
  if (owner) out.pipeline = owner->pipeline;
  return out;
}

void write_facts(base::JsonWriter& w, const EndpointPagesDoor& door, int64_t project, const Facts& facts) {
  const serve::Endpoint& e = facts.endpoint;
  w.field("name", e.name).field("environment", e.environment).field("default", e.is_default);
  w.field("live_revision", e.live_revision).field("previous_revision", e.previous_revision);
  w.field("pipeline", facts.pipeline);
  const auto of = [&](int64_t number) {
    const auto found = std::ranges::find(facts.revisions, number, &serve::Revision::number);
    return found == facts.revisions.end() ? "" : found->model_name + "/" + std::to_string(found->model_version);
  };
  w.field("model", of(e.live_revision)).field("previous_model", of(e.previous_revision));
  w.field("graph", std::ranges::any_of(facts.revisions, [&](const serve::Revision& r) {
            return r.number == e.live_revision && !r.graph.empty();
          }));
  const auto live = door.runtime.route(project, e.name);
  w.field("state", e.live_revision == 0 ? "empty" : live && live->ready() ? "ready" : "failed").key("problem");
  if (const std::string trouble = live ? live->trouble() : std::string(); !trouble.empty())
    w.value(trouble);
  else
    w.null();
}

Task<void> list(const EndpointPagesDoor& door, net::Request& request, net::Response& response) {
  const int64_t now_us = request.ctx.now_us, project = request.ctx.project;
  auto read = [&door, now_us, project](store::Tx& tx) -> Result<std::string> {
    std::string out;
    base::JsonWriter w(out);
    w.begin_object().field("from_us", now_us - kCardUs).field("to_us", now_us).field("step_us", kCardStepUs);
    w.key("endpoints").begin_array();
    for (serve::Endpoint& endpoint : serve::list_endpoints(tx)) {
      TRY_SET(const Facts facts, facts_of(tx, std::move(endpoint)));
      TRY_SET(const auto points,
              serve::traffic(tx, {facts.endpoint.name, now_us - kCardUs, now_us, kCardStepUs, false}));
      const auto sum = sum_of(points);
      w.begin_object();
      write_facts(w, door, project, facts);
      w.field("open_alerts", watch::open_alerts(tx, facts.endpoint.name).size());
      write_counts(w, sum);
      write_latency(w, sum);
      w.key("points");
      write_points(w, points);
      w.end_object();
    }
    w.end_array().end_object();
    TRY(tx.status());
    return out;
  };
  co_await answer_read(door.store, request, response, read);
}

void write_tensors(base::JsonWriter& w, const std::vector<serve::TensorInfo>& tensors) {
  w.begin_array();
  for (const auto& t : tensors) {
    w.begin_object().field("name", t.name).field("datatype", serve::name(t.type)).key("shape").begin_array();
    for (const int64_t n : t.shape) w.value(n);
    w.end_array().end_object();
  }
  w.end_array();
}

void write_signature(base::JsonWriter& w, const serve::LiveEndpoint* live) {
  w.key("signature");
  if (!live || !live->predictor) return void(w.null());
  const serve::Predictor& p = *live->predictor;
  w.begin_object().field("applies_transform", p.applies_transform()).field("features_named", p.features_named());
  w.field("platform", p.model().platform()).key("features").begin_array();
  for (const auto& f : p.features()) w.begin_object().field("name", f.name).field("text", f.text).end_object();
  w.end_array().key("inputs");
  write_tensors(w, p.inputs());
  w.key("outputs");
  write_tensors(w, p.outputs());
  w.key("classes").begin_array();
  for (const auto& c : p.model().classes()) w.value(c);
  w.end_array().end_object();
}

void write_revisions(base::JsonWriter& w, const Facts& facts, const std::vector<serve::TrafficPoint>& by_revision) {
  std::map<int64_t, serve::TrafficPoint> sums;
  for (const auto& point : by_revision) sums[point.revision].add(point);
  w.key("revisions").begin_array();
  for (const serve::Revision& r : facts.revisions) {
    w.begin_object().field("number", r.number).field("model", r.model_name).field("version", r.model_version);
    w.field("transform", r.transform_digest).field("created_us", r.created_us).key("traffic").begin_object();
    write_counts(w, sums[r.number]);
    write_latency(w, sums[r.number]);
    w.end_object().end_object();
  }
  w.end_array();
}

// What happened to the endpoint, to be drawn into its charts.
void write_marks(base::JsonWriter& w, store::Tx& tx, const std::string& name) {
  w.key("promotions").begin_array();
  for (const auto& p : loop::list_promotions(tx, name, kMarks)) {
    w.begin_object().field("at_us", p.at_us).field("kind", p.kind).field("revision", p.revision);
    w.field("previous", p.previous).field("model", p.model).field("version", p.version);
    w.field("verdict", p.verdict).field("actor", p.actor).end_object();
  }
  w.end_array().key("alerts").begin_array();
  for (const auto& a : watch::list_alerts(tx, name, kMarks)) {
    w.begin_object().field("id", a.id).field("kind", a.kind).field("revision", a.revision);
    w.field("raised_us", a.raised_us).field("ended_us", a.ended_us).end_object();
  }
  w.end_array();
}

// What the model's own queue and workers do, since the revision is live; null where every request runs at once.
void write_queue(base::JsonWriter& w, const serve::LiveEndpoint* live) {
  w.key("queue");
  if (!live || !live->predictor) return void(w.null());
  const auto workers = live->predictor->model().workers();
  const auto batches = live->predictor->batch_statistics();
  if (!workers && !batches) return void(w.null());
  w.begin_object();
  if (workers) {
    w.field("workers", static_cast<int64_t>(workers->workers)).field("busy", static_cast<int64_t>(workers->busy));
    w.field("waiting", static_cast<int64_t>(workers->waiting));
    w.field("started", static_cast<int64_t>(workers->started));
    w.field("crashed", static_cast<int64_t>(workers->crashed));
  }
  w.key("batches").begin_array();
  if (batches) {
    for (const auto& [rows, executions] : batches->sizes) {
      w.begin_object().field("rows", static_cast<int64_t>(rows));
      w.field("executions", static_cast<int64_t>(executions)).end_object();
    }
  }
  w.end_array();
  if (batches) {
    w.field("executions", static_cast<int64_t>(batches->executions));
    w.field("requests", static_cast<int64_t>(batches->requests));
    w.field("waited_s", static_cast<double>(batches->queue_ns) / 1e9);
  }
  w.end_object();
}

struct Range {
  int64_t from_us, to_us, step_us;
};
Range with_step(int64_t from_us, int64_t to_us) {
  const int64_t fit = (to_us - from_us) / kWantedPoints / serve::kTrafficStepUs * serve::kTrafficStepUs;
  return {from_us, to_us, std::max(fit, serve::kTrafficStepUs)};
}

// Without `from_us`: from_us < 0, and suited_range() chooses.
Result<Range> range_of(const net::Request& request) {
  PageArgs args(request);
  const int64_t to_us = args.integer("to_us", request.ctx.now_us, 1, INT64_MAX / 2);
  const auto from_us = args.integer("from_us");
  const auto step_us = args.integer("step_us");
  TRY(args.status());
  if (from_us && *from_us < 0) return base::invalid("'from_us' must not be negative");
  if (from_us && *from_us >= to_us) return base::invalid("'from_us' must be before 'to_us'");
  if (step_us && *step_us < serve::kTrafficStepUs)
    return base::invalid("'step_us' must be at least " + std::to_string(serve::kTrafficStepUs));
  if (!from_us) return Range{-1, to_us, serve::kTrafficStepUs};
  Range range = with_step(*from_us, to_us);
  if (step_us) range.step_us = *step_us;
  return range;
}

// The shortest of the usual ranges with all traffic of the last hours in it: a new endpoint's is no spike at the edge.
Result<Range> suited_range(store::Tx& tx, const std::string& name, int64_t to_us) {
  static constexpr int64_t kRanges[] = {kHourUs / 4, kHourUs, 6 * kHourUs};
  const Range longest = with_step(to_us - kRanges[2], to_us);
  TRY_SET(const auto points, serve::traffic(tx, {name, longest.from_us, to_us, longest.step_us, false}));
  if (points.empty()) return longest;
  const int64_t age = to_us - points.front().at_us - longest.step_us;
  for (const int64_t range : kRanges)
    if (age <= range) return with_step(to_us - range, to_us);
  return longest;
}

Task<void> show(const EndpointPagesDoor& door, net::Request& request, net::Response& response) {
  const auto range = range_of(request);
  if (!range) co_return fail(response, request, range.error());
  const std::string name(request.param("name"));
  const int64_t project = request.ctx.project;
  const auto live = door.runtime.route(project, name);
  auto read = [&door, &name, &live, project, asked = *range](store::Tx& tx) -> Result<std::string> {
    TRY_SET(serve::Endpoint endpoint, serve::get_endpoint(tx, name));
    TRY_SET(const Facts facts, facts_of(tx, std::move(endpoint)));
    Range r = asked;
    if (r.from_us < 0) {
      TRY_SET(r, suited_range(tx, name, asked.to_us));
    }
    TRY_SET(const auto points, serve::traffic(tx, {name, r.from_us, r.to_us, r.step_us, false}));
    TRY_SET(const auto by_revision, serve::traffic(tx, {name, r.from_us, r.to_us, r.step_us, true}));
    std::string out;
    base::JsonWriter w(out);
    w.begin_object();
    write_facts(w, door, project, facts);
    write_signature(w, live.get());
    write_queue(w, live.get());
    write_revisions(w, facts, by_revision);
    write_marks(w, tx, name);
    TRY_SET(const auto monitor, watch::get_monitor(tx, name));
    w.field("monitored", monitor.has_value()).key("traffic").begin_object();
    w.field("from_us", r.from_us).field("to_us", r.to_us).field("step_us", r.step_us);
    const auto sum = sum_of(points);
    write_counts(w, sum);
    write_latency(w, sum);
    w.key("points");
    write_points(w, points);
    w.end_object().end_object();
    TRY(tx.status());
    return out;
  };
  co_await answer_read(door.store, request, response, read);
}

// --- captured requests ----------------------------------------------------------------------------------------------

struct RequestFilter {
  serve::CapturePosition before = serve::Capture::kNow;
  size_t limit = 100;
  int64_t from_us = 0, to_us = INT64_MAX;
  int64_t revision = 0, least_us = 0;
  std::string prediction, id, role;
  double below_score = 2;
  bool wrong = false, labelled = false;

  bool by_label() const { return wrong || labelled; }
  bool takes(const serve::CapturedRequest& r) const {
    if (r.at_us < from_us || r.at_us > to_us || r.duration_us < least_us) return false;
    if (r.role != role || (revision != 0 && r.revision != revision)) return false;
    if (!id.empty() && !r.id.starts_with(id) && !r.client_id.starts_with(id)) return false;
    if (!prediction.empty() && std::ranges::find(r.labels, prediction) == r.labels.end()) return false;
    return below_score > 1 || std::ranges::any_of(r.scores, [&](double score) { return score < below_score; });
  }
};

Result<RequestFilter> filter_of(const net::Request& request) {
  PageArgs args(request);
  RequestFilter f;
  f.limit = static_cast<size_t>(args.integer("limit", 100, 1, kMaxPage));
  f.from_us = args.integer("from_us", 0, 0, INT64_MAX / 2);
  f.to_us = args.integer("to_us", INT64_MAX / 2, 0, INT64_MAX / 2);
  f.revision = args.integer("revision", 0, 1, INT64_MAX / 2);
  f.least_us = args.integer("least_us", 0, 0, INT64_MAX / 2);
  f.below_score = args.number("below_score", 2);
  f.prediction = args.text("prediction");
  f.id = args.text("id");
  static constexpr std::string_view kRoles[] = {"", serve::kShadowRole};
  f.role = args.choice("role", kRoles);
  f.wrong = args.flag("wrong");
  f.labelled = args.flag("labelled");
  if (const std::string text = args.text("after"); !text.empty()) {
    const char* end = text.data() + text.size();
    auto [dot, error] = std::from_chars(text.data(), end, f.before.segment);
    if (error == std::errc() && dot != end && *dot == '.') std::tie(dot, error) = std::pair(dot + 1, std::errc());
    const auto last = std::from_chars(dot, end, f.before.offset);
    if (error != std::errc() || last.ec != std::errc() || last.ptr != end || f.before.segment < 0)
      return base::invalid("'after' is '" + text.substr(0, 40) + "'; it must be what an answer's 'next' said");
  }
  TRY(args.status());
  return f;
}

struct LabelledRequest {
  serve::CapturedRequest request;
  std::vector<std::optional<std::string>> labels;  // by row
  serve::CapturePosition place;                    // what stands before it is older

  bool wrong(size_t row) const {
    return row < request.labels.size() && labels[row] &&
           stats::canonical_label(std::string_view(request.labels[row])) != *labels[row];
  }
};

struct RequestPage {
  std::vector<LabelledRequest> requests;
  serve::CapturePosition next;
  size_t scanned = 0;
  int64_t oldest_us = 0;  // of what was looked at
};

std::vector<LabelledRequest> with_labels(store::Tx& tx, std::vector<serve::CapturedRequest> requests) {
  std::vector<LabelledRequest> out;
  for (auto& request : requests) {
    LabelledRequest one{.request = std::move(request)};
    one.labels.resize(one.request.row_count);
    for (auto& label : watch::labels_of(tx, one.request.id)) {
      if (label.row >= 0 && static_cast<size_t>(label.row) < one.labels.size())
        one.labels[static_cast<size_t>(label.row)] = std::move(label.label);
    }
    out.push_back(std::move(one));
  }
  return out;
}

bool takes_labels(const RequestFilter& filter, const LabelledRequest& one) {
  for (size_t row = 0; row < one.labels.size(); ++row) {
    if (!one.labels[row]) continue;
    if (!filter.wrong || one.wrong(row)) return true;
  }
  return false;
}

Task<Result<RequestPage>> read_page(const EndpointPagesDoor& door, base::Context ctx, std::string endpoint,
                                    RequestFilter filter) {
  RequestPage page{.next = filter.before};
  do {
    auto look = [&] {
      return door.runtime.capture().read_newest(ctx.project, endpoint, page.next,
                                                filter.by_label() ? kScanBatch : filter.limit, kMaxScanned,
                                                [&](const serve::CapturedRequest& r) { return filter.takes(r); });
    };
    CO_TRY_SET(auto found, co_await door.offload.run(look));
    page.scanned += found.scanned;
    page.next = found.next;
    if (!found.requests.empty()) page.oldest_us = found.requests.back().at_us;
    auto join = [&](store::Tx& tx) -> Result<std::vector<LabelledRequest>> {
      auto labelled = with_labels(tx, found.requests);
      TRY(tx.status());
      return labelled;
    };
    CO_TRY_SET(auto labelled, co_await door.store.read(ctx, join));
    for (size_t i = 0; i < labelled.size(); ++i) {
      if (filter.by_label() && !takes_labels(filter, labelled[i])) continue;
      labelled[i].place = found.places[i];
      page.requests.push_back(std::move(labelled[i]));
      if (page.requests.size() < filter.limit) continue;
      page.next = found.places[i];
      page.oldest_us = page.requests.back().request.at_us;
      co_return page;
    }
  } while (page.next != serve::CapturePosition{} && page.scanned < kMaxScanned);
  co_return page;
}

// Names of columns once, by index: requests of one revision share them.
class Layouts {
 public:
  size_t index_of(const serve::CapturedRequest& r) {
    const std::pair key{r.features, r.text_features};
    const auto found = std::ranges::find(all_, key);
    if (found != all_.end()) return static_cast<size_t>(found - all_.begin());
    all_.push_back(key);
    return all_.size() - 1;
  }
  void write(base::JsonWriter& w) const {
    w.key("layouts").begin_array();
    for (const auto& [numbers, texts] : all_) {
      w.begin_object().key("features").begin_array();
      for (const auto& name : numbers) w.value(name);
      w.end_array().key("text_features").begin_array();
      for (const auto& name : texts) w.value(name);
      w.end_array().end_object();
    }
    w.end_array();
  }

 private:
  std::vector<std::pair<std::vector<std::string>, std::vector<std::string>>> all_;
};

void write_request(base::JsonWriter& w, const LabelledRequest& one, size_t layout) {
  const auto& r = one.request;
  const auto text_or_null = [&](std::string_view key, const std::string* text) {
    w.key(key);
    if (text)
      w.value(clean_text(*text));
    else
      w.null();
  };
  w.begin_object().field("id", r.id).field("at_us", r.at_us).field("revision", r.revision).key("duration_us");
  r.duration_us > 0 ? w.value(r.duration_us) : w.null();
  text_or_null("client_id", r.client_id.empty() ? nullptr : &r.client_id);
  // A data plane may have sent it: what is no route is not shown.
  if (const auto route = r.routed ? serve::parse_route(r.route) : base::Result<serve::GraphRoute>(base::not_found(""));
      route)
    w.key("route").raw(serve::to_json(*route));
  w.field("row_count", r.row_count).field("layout", layout).key("rows").begin_array();
  const size_t numbers = r.features.size(), texts = r.text_features.size();
  for (size_t row = 0; row < std::min<size_t>(r.row_count, kMaxRowsShown); ++row) {
    w.begin_object();
    text_or_null("prediction", row < r.labels.size() ? &r.labels[row] : nullptr);
    text_or_null("label", one.labels[row] ? &*one.labels[row] : nullptr);
    w.field("wrong", one.wrong(row)).key("score");
    row < r.scores.size() ? w.value(r.scores[row]) : w.null();
    w.key("values").begin_array();
    for (size_t i = 0; i < numbers; ++i) w.value(r.rows[row * numbers + i]);
    w.end_array().key("texts").begin_array();
    for (size_t i = 0; i < texts; ++i) w.value(clean_text(r.texts[row * texts + i]));
    w.end_array().end_object();
  }
  w.end_array().end_object();
}

Task<void> requests(const EndpointPagesDoor& door, net::Request& request, net::Response& response) {
  const auto filter = filter_of(request);
  if (!filter) co_return fail(response, request, filter.error());
  const std::string endpoint(request.param("name"));
  auto known = [&endpoint](store::Tx& tx) { return serve::get_endpoint(tx, endpoint); };
  if (auto found = co_await door.store.read(request.ctx, known); !found)
    co_return fail(response, request, found.error());
  const auto page = co_await read_page(door, request.ctx, endpoint, *filter);
  if (!page) co_return fail(response, request, page.error());
  std::string out;
  base::JsonWriter w(out);
  Layouts layouts;
  w.begin_object().key("requests").begin_array();
  serve::CapturePosition next = page->next;
  for (const auto& one : page->requests) {
    write_request(w, one, layouts.index_of(one.request));
    if (out.size() < kMaxAnswer || &one == &page->requests.back()) continue;
    next = one.place;  // large rows: the rest is another page
    break;
  }
  w.end_array();
  layouts.write(w);
  w.field("scanned", page->scanned).field("oldest_us", page->oldest_us).key("next");
  if (next == serve::CapturePosition{})
    w.null();
  else
    w.value(std::to_string(next.segment) + "." + std::to_string(next.offset));
  w.end_object();
  response.send_json(std::move(out));
}

}  // namespace

void add_pages_serve_routes(net::RouteTable& routes, const EndpointPagesDoor& door) {
  add_page(routes, door, "/endpoints", list);
  add_page(routes, door, "/endpoints/{name}", show);
  add_page(routes, door, "/endpoints/{name}/requests", requests);
}

}  // namespace api::lathe
