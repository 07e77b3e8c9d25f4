#include "api/lathe/pages_overview.h"

#include <map>

#include "api/lathe/page_args.h"
#include "api/lathe/page_text.h"
#include "base/json.h"
#include "core/recent.h"
#include "loop/overview.h"
#include "serve/traffic.h"
#include "stats/interval.h"

namespace api::lathe {
namespace {

constexpr int64_t kTrafficUs = 15 * 60 * 1'000'000LL;
constexpr int64_t kTrafficStepUs = 30'000'000;
constexpr size_t kLongBody = 2048;
constexpr int64_t kEvents = 40, kMaxEvents = 500;

void write_time(base::JsonWriter& w, std::string_view key, int64_t at_us) {
  w.key(key);
  at_us > 0 ? w.value(at_us) : w.null();
}

void write_data(base::JsonWriter& w, const std::optional<data::DataVersion>& version) {
  w.key("data");
  if (!version) return void(w.null());
  w.begin_object().field("id", version->id).field("name", version->name).field("number", version->number);
  w.field("created_us", version->created_us).key("rows").begin_object();
  for (const auto& [part, rows] : version->rows) w.field(part, rows);
  w.end_object().end_object();
}

void write_run(base::JsonWriter& w, const loop::LoopOverview& loop) {
  w.key("run");
  if (!loop.run) return void(w.null());
  const auto& run = *loop.run;
  w.begin_object().field("id", run.id).field("number", run.number).field("state", flow::name(run.state));
  w.field("cause", run.cause).field("created_us", run.created_us);
  write_time(w, "ended_us", run.ended_us);
  w.field("stages", loop.progress.stages).field("done", loop.progress.done).key("running").begin_array();
  for (const auto& stage : loop.running) w.value(stage);
  w.end_array().key("problem");
  if (loop.problem) {
    w.begin_object().field("stage", loop.problem->stage).field("attempt", loop.problem->attempt);
    w.field("reason", clean_text(loop.problem->reason)).end_object();
  } else {
    w.null();
  }
  w.end_object();
}

void write_verdict_line(base::JsonWriter& w, std::string_view key, const std::optional<loop::Verdict>& verdict) {
  w.key(key);
  if (!verdict) return void(w.null());
  w.begin_object().field("id", verdict->id).field("run", verdict->run).field("passed", verdict->passed);
  w.field("kind", verdict->kind).field("champion", verdict->champion).field("environment", verdict->environment);
  w.field("at_us", verdict->at_us).field("reason", verdict->reason).end_object();
}

// What a verdict measured of its challenger on the frozen test, else on its first rows.
void write_value(base::JsonWriter& w, const loop::Verdict& verdict) {
  w.key("value");
  const auto numbers = base::parse_json(verdict.numbers);
  const auto* rows = numbers && numbers->is_object() ? numbers->as_object().if_contains("rows") : nullptr;
  if (rows == nullptr || !rows->is_array() || rows->as_array().empty()) return void(w.null());
  const auto* first = rows->as_array()[0].if_object();
  const auto* judged = first != nullptr ? first->if_contains("challenger") : nullptr;
  if (judged == nullptr || !judged->is_object()) return void(w.null());
  const auto& o = judged->as_object();
  const auto number = [&](std::string_view key) {
    const auto* v = o.if_contains(key);
    return v != nullptr && v->is_number() ? v->to_number<double>() : 0.0;
  };
  w.begin_object().field("value", number("value")).field("low", number("low")).field("high", number("high"));
  const auto* part = first->if_contains("part");
  w.field("part", part != nullptr && part->is_string() ? std::string(part->as_string()) : "");
  const auto* evaluation = o.if_contains("evaluation");
  w.field("evaluation", evaluation != nullptr && evaluation->is_string() ? std::string(evaluation->as_string()) : "");
  w.end_object();
}

void write_traffic(base::JsonWriter& w, const std::vector<serve::TrafficPoint>& points, int64_t from_us) {
  serve::TrafficPoint sum;
  for (const auto& point : points) sum.add(point);
  w.key("traffic").begin_object().field("from_us", from_us).field("step_us", kTrafficStepUs);
  w.field("requests", sum.requests).field("failures", sum.failures).key("p99");
  const auto p99 = sum.latency.quantile(0.99);
  p99 ? w.value(*p99) : w.null();
  w.key("points").begin_array();
  for (const auto& p : points) w.begin_array().value(p.at_us).value(p.requests).end_array();
  w.end_array().end_object();
}

// Of an alert's story only what a line needs: how many features crossed in the newest window, and which one most.
void write_alert_line(base::JsonWriter& w, const watch::Alert& alert) {
  w.begin_object().field("id", alert.id).field("kind", alert.kind).field("revision", alert.revision);
  w.field("raised_us", alert.raised_us);
  const auto numbers = base::parse_json(alert.numbers);
  const auto* windows = numbers && numbers->is_object() ? numbers->as_object().if_contains("windows") : nullptr;
  if (windows != nullptr && windows->is_array() && !windows->as_array().empty()) {
    if (const auto* newest = windows->as_array().back().if_object()) {
      for (const std::string_view key : {"crossed", "family"}) {
        const auto* v = newest->if_contains(key);
        if (v != nullptr && v->is_number()) w.field(key, v->to_number<int64_t>());
      }
      const auto* features = newest->if_contains("features");
      const auto* worst = features != nullptr && features->is_array() && !features->as_array().empty()
                              ? features->as_array()[0].if_object()
                              : nullptr;
      const auto* name = worst != nullptr ? worst->if_contains("name") : nullptr;
      const auto* psi = worst != nullptr ? worst->if_contains("psi") : nullptr;
      if (name != nullptr && name->is_string()) w.field("feature", std::string(name->as_string()));
      if (psi != nullptr && psi->is_number()) w.field("psi", psi->to_number<double>());
    }
  }
  w.end_object();
}

void write_monitor(base::JsonWriter& w, const loop::EnvironmentOverview& env) {
  w.key("monitor");
  if (!env.monitor) return void(w.null());
  w.begin_object().field("labels", env.labels).field("min_labels", env.min_labels).key("windows").begin_array();
  for (const auto& window : env.windows) {  // newest first
    w.begin_object().field("id", window.id).field("number", window.number).field("revision", window.revision);
    w.field("closed_us", window.closed_us).field("rows", window.rows).field("judged", window.judged);
    w.field("drifted", window.drifted).field("bad_quality", window.bad_quality);
    // A share of right answers says nothing about numbers: their windows are judged by error, on the monitor's page.
    const auto counts = window.regression ? watch::LabelCounts{} : window.labels;
    w.field("labelled", counts.labelled).field("correct", counts.correct).end_object();
  }
  w.end_array().key("alerts").begin_array();
  for (const auto& alert : env.alerts) write_alert_line(w, alert);
  w.end_array().end_object();
}

using Traffic = std::map<std::string, std::vector<serve::TrafficPoint>>;

void write_environment(base::JsonWriter& w, const loop::EnvironmentOverview& env, const Traffic& traffic,
                       int64_t from_us, const std::string& problem) {
  w.begin_object().field("name", env.name).key("endpoint");
  if (!env.endpoint) {
    w.null();
  } else {
    w.begin_object().field("name", env.endpoint->name).field("revision", env.endpoint->live_revision);
    w.field("previous_revision", env.endpoint->previous_revision).field("problem", problem);
    if (const auto it = traffic.find(env.endpoint->name); it != traffic.end()) write_traffic(w, it->second, from_us);
    w.end_object();
  }
  w.key("live");
  if (!env.live) {
    w.null();
  } else {
    w.begin_object().field("model", env.live->model_name).field("version", env.live->model_version);
    write_time(w, "since_us", env.promotion ? env.promotion->at_us : env.live->created_us);
    w.field("by", env.promotion ? env.promotion->kind : "");
    if (env.behind) write_value(w, *env.behind);
    w.end_object();
  }
  write_monitor(w, env);
  w.key("retraining");
  if (env.retraining) {
    w.begin_object().field("alert", env.retraining->alert).field("run", env.retraining->run);
    w.field("at_us", env.retraining->at_us).end_object();
  } else {
    w.null();
  }
  write_time(w, "cooldown_until_us", env.cooldown_until_us);
  w.key("retrains_on").begin_array();
  for (const auto& kind : env.retrains_on) w.value(kind);
  w.end_array().end_object();
}

// An alert carries its whole story; of a large body only the short fields at its top are told.
void write_event_body(base::JsonWriter& w, const std::string& body) {
  if (body.size() <= kLongBody) return void(w.raw(body));
  w.begin_object();
  const auto parsed = base::parse_json(body);
  if (const auto* fields = parsed ? parsed->if_object() : nullptr) {
    for (const auto& [key, value] : *fields) {
      if (const auto* text = value.if_string(); text != nullptr && text->size() <= kLongBody)
        w.field(std::string_view(key), std::string_view(*text));
      if (value.is_number()) w.field(std::string_view(key), value.to_number<double>());
    }
  }
  w.end_object();
}

void write_events(base::JsonWriter& w, const core::RecentEvents& recent) {
  w.key("events").begin_array();
  for (const auto& event : recent.events) {
    w.begin_object().field("id", std::to_string(event.position.xid) + "." + std::to_string(event.position.seq));
    w.field("at_us", event.at_us).field("kind", event.kind).key("subject").begin_object();
    w.field("kind", event.subject_kind).field("id", event.subject).end_object();
    w.field("actor", event.actor).key("body");
    write_event_body(w, event.body);
    w.end_object();
  }
  w.end_array();
  if (recent.next_before > 0) w.field("next", recent.next_before);
}

base::Result<std::string> overview_json(store::Tx& tx, const serve::Runtime& runtime) {
  TRY_SET(const auto all, loop::overview(tx));
  TRY_SET(const auto recent, core::recent_events(tx, 0, {}, kEvents));
  const int64_t from_us = (tx.now_us() - kTrafficUs) / kTrafficStepUs * kTrafficStepUs;
  std::string text;
  base::JsonWriter w(text);
  w.begin_object().field("now_us", tx.now_us()).key("loops").begin_array();
  for (const auto& loop : all.loops) {
    w.begin_object().field("pipeline", loop.pipeline).field("model", loop.model).field("metric", loop.metric);
    w.field("cron", loop.cron);
    write_time(w, "cron_next_us", loop.cron_next_us.value_or(0));
    write_data(w, loop.data);
    write_run(w, loop);
    write_verdict_line(w, "verdict", loop.verdict);
    w.key("environments").begin_array();
    for (const auto& env : loop.environments) {
      Traffic traffic;
      std::string problem;
      if (env.endpoint) {
        const serve::TrafficQuery query{env.endpoint->name, from_us, tx.now_us(), kTrafficStepUs, false};
        TRY_SET(traffic[env.endpoint->name], serve::traffic(tx, query));
        const auto live = runtime.route(tx.project(), env.endpoint->name);
        if (live && !live->predictor) problem = live->problem.message;
      }
      write_environment(w, env, traffic, from_us, problem);
    }
    w.end_array().end_object();
  }
  w.end_array().field("truncated", all.truncated).key("counts").begin_object();
  w.field("experiments", all.tracked.experiments).field("runs", all.tracked.runs).field("models", all.tracked.models);
  w.field("data", all.data_sets).field("pipelines", all.pipelines).field("endpoints", all.endpoints).end_object();
  write_events(w, recent);
  w.end_object();
  return text;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    if (comma != 0) out.emplace_back(text.substr(0, comma));
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
  }
  return out;
}

base::Task<void> get_events(const OverviewDoor& door, net::Request& request, net::Response& response) {
  PageArgs args(request);
  const int64_t before = args.integer("before", 0, 0, INT64_MAX);
  const auto limit = static_cast<size_t>(args.integer("limit", kEvents, 1, kMaxEvents));
  const auto kinds = words_of(args.text("kinds"));
  if (const auto ok = args.status(); !ok) co_return fail(response, request, ok.error());
  co_await answer_read(door.store, request, response, [=](store::Tx& tx) -> base::Result<std::string> {
    TRY_SET(const auto recent, core::recent_events(tx, before, kinds, limit));
    std::string text;
    base::JsonWriter w(text);
    w.begin_object();
    write_events(w, recent);
    w.end_object();
    return text;
  });
}

base::Task<void> get_overview(const OverviewDoor& door, net::Request& request, net::Response& response) {
  const auto* runtime = &door.runtime;
  co_await answer_read(door.store, request, response, [runtime](store::Tx& tx) { return overview_json(tx, *runtime); });
}

}  // namespace

void add_pages_overview_routes(net::RouteTable& routes, const OverviewDoor& door) {
  add_page(routes, door, "/overview", get_overview);
  add_page(routes, door, "/events", get_events);
}

}  // namespace api::lathe
