#include "api/lathe/watch.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "api/lathe/errors.h"
#include "api/lathe/routes.h"
#include "api/lathe/watch_feedback.h"
#include "api/lathe/watch_seldon.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "serve/endpoint.h"
#include "stats/interval.h"
#include "watch/alert.h"
#include "watch/profile.h"
#include "watch/watch.h"

namespace api::lathe {
namespace {

constexpr size_t kFeedbackBody = 8 * base::limits::kMiB;
constexpr int64_t kPage = 100, kMaxPage = 1000;

base::Result<int64_t> count_query(const net::Request& request, std::string_view key, int64_t fallback, int64_t most) {
  const auto text = request.query_value(key);
  if (!text) return fallback;
  int64_t n = -1;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), n);
  if (error != std::errc() || end != text->data() + text->size() || n < 1 || n > most) {
    return base::invalid("'" + std::string(key) + "' is '" + *text + "'; it must be a whole number from 1 to " +
                         std::to_string(most));
  }
  return n;
}

// --- feedback -------------------------------------------------------------------------------------------------------

struct Known {
  std::string endpoint;
  uint32_t rows = 0;
};
using KnownById = std::map<std::string, std::optional<Known>, std::less<>>;

// Which of the predictions were captured here. What was answered a moment ago may still be on its way to the disk.
base::Result<void> look_up(serve::Capture& capture, int64_t project, KnownById& predictions) {
  const auto look = [&](const std::vector<std::string>& ids) -> base::Result<std::vector<std::string>> {
    std::vector<std::string> missing;
    TRY_SET(const auto found, capture.find(ids));
    for (size_t i = 0; i < ids.size(); ++i) {
      if (!found[i]) {
        missing.push_back(ids[i]);
      } else if (found[i]->project == project) {
        predictions.find(ids[i])->second = Known{found[i]->endpoint, found[i]->row_count};
      }
    }
    return missing;
  };
  std::vector<std::string> ids;
  for (const auto& [id, known] : predictions) {
    if (serve::parse_prediction_id(id)) ids.push_back(id);
  }
  TRY_SET(const std::vector<std::string> missing, look(ids));
  if (missing.empty()) return {};
  capture.flush();
  TRY(look(missing));
  return {};
}

base::Result<void> tie_to_endpoints(std::vector<watch::Feedback>& labels, const KnownById& predictions) {
  for (watch::Feedback& label : labels) {
    const auto& known = predictions.find(label.prediction)->second;
    if (!known) continue;
    label.endpoint = known->endpoint;
    if (label.row >= known->rows) {
      return base::invalid("prediction '" + label.prediction + "' has " + std::to_string(known->rows) + " rows; row " +
                           std::to_string(label.row) + " is not one of them (they count from 0). Nothing was stored");
    }
  }
  return {};
}

struct Stored {
  int64_t fresh = 0;
  KnownById predictions;
};

// Looks up what the labels are about, and keeps them.
base::Task<base::Result<Stored>> keep_feedback(const WatchDoor& door, const base::Context& ctx,
                                               std::vector<watch::Feedback>& labels) {
  Stored stored;
  for (const auto& label : labels) stored.predictions.try_emplace(label.prediction);
  auto look = [&door, &stored, project = ctx.project] { return look_up(door.capture, project, stored.predictions); };
  CO_TRY(co_await door.offload.run(look));
  CO_TRY(tie_to_endpoints(labels, stored.predictions));
  auto put = [&labels](store::Tx& tx) { return watch::put_feedback(tx, labels); };
  CO_TRY_SET(stored.fresh, co_await door.store.write(ctx, put));
  co_return stored;
}

base::Task<void> post_feedback(const WatchDoor& door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  auto labels = parse_feedback(*body);
  if (!labels) co_return fail(response, request, labels.error());
  const auto stored = co_await keep_feedback(door, request.ctx, *labels);
  if (!stored) co_return fail(response, request, stored.error());
  std::string text;
  base::JsonWriter json(text);
  json.begin_object().field("received", labels->size()).field("new", stored->fresh).key("unknown").begin_array();
  for (const auto& [id, known] : stored->predictions) {
    if (!known) json.value(id);
  }
  json.end_array().end_object();
  response.send_json(std::move(text));
}

// Seldon's clients: the truth of an answer of theirs (api/inference/seldon.cc). What no prediction is known for is
// told.
base::Task<void> post_seldon_feedback(const WatchDoor& door, net::ErrorWriters& errors, net::Request& request,
                                      net::Response& response) {
  const auto refuse = [&](const base::Error& error) {
    errors.write(net::Protocol::kSeldon, response, error, request.ctx.request_id);
  };
  const auto body = co_await request.read_body();
  if (!body) co_return refuse(body.error());
  auto labels = parse_seldon_feedback(*body);
  if (!labels) co_return refuse(labels.error());
  const auto stored = co_await keep_feedback(door, request.ctx, *labels);
  if (!stored) co_return refuse(stored.error());
  std::string text;
  base::JsonWriter json(text);
  json.begin_object().key("meta").begin_object().key("tags").begin_object();
  json.field("received", labels->size()).field("new", stored->fresh);
  json.field("known", stored->predictions.begin()->second.has_value()).end_object().end_object().end_object();
  response.send_json(std::move(text));
}

// --- monitors -------------------------------------------------------------------------------------------------------

void write_spec(base::JsonWriter& json, const watch::MonitorSpec& spec) {
  json.field("endpoint", spec.endpoint).field("window_rows", spec.window_rows).field("window_us", spec.window_us);
  json.field("labels_from_feedback", spec.labels_from_feedback).key("rule").begin_object();
  json.field("ks_alpha", spec.ks_alpha).field("psi_threshold", spec.psi_threshold);
  json.field("drifted_share", spec.drifted_share).field("consecutive", spec.consecutive).end_object();
}

void write_window(base::JsonWriter& json, const watch::Window& w) {
  json.field("id", w.id).field("endpoint", w.endpoint).field("number", w.number).field("revision", w.revision);
  json.field("first_us", w.first_us).field("last_us", w.last_us).field("closed_us", w.closed_us);
  json.field("requests", w.requests).field("rows", w.rows).field("judged", w.judged);
  json.field("drifted", w.drifted).field("bad_quality", w.bad_quality);
  json.field("regression", w.regression).field("labelled", w.labels.labelled).field("correct", w.labels.correct);
  if (w.labels.labelled > 0) {
    const auto write = [&json](std::string_view key, const stats::Interval& interval) {
      json.key(key).begin_array().value(interval.low).value(interval.high).end_array();
    };
    json.field("accuracy", w.labels.accuracy());
    write("interval", stats::wilson_interval(w.labels.correct, w.labels.labelled));
    json.field("mean_absolute_error", w.labels.mean_absolute_error());
    json.field("root_mean_squared_error", w.labels.root_mean_squared_error());
    write("error_interval", watch::mean_error_interval(w.labels));
  }
}

void write_alert(base::JsonWriter& json, const watch::Alert& alert) {
  json.field("id", alert.id)
      .field("endpoint", alert.endpoint)
      .field("revision", alert.revision)
      .field("kind", alert.kind);
  json.field("raised_us", alert.raised_us).key("ended_us");
  if (alert.ended_us > 0) {
    json.value(alert.ended_us);
  } else {
    json.null();
  }
  json.key("numbers").raw(alert.numbers);
}

base::Result<watch::MonitorSpec> monitor_of(store::Tx& tx, const std::string& endpoint) {
  TRY_SET(auto spec, watch::get_monitor(tx, endpoint));
  if (!spec) return base::not_found("endpoint '" + endpoint + "' is not monitored");
  return std::move(*spec);
}

base::Task<void> get_monitors(const WatchDoor& door, net::Request& request, net::Response& response) {
  auto read = [](store::Tx& tx) -> base::Result<std::vector<watch::MonitorSpec>> {
    auto monitors = watch::list_monitors(tx);
    TRY(tx.status());
    return monitors;
  };
  const auto monitors = co_await door.store.read(request.ctx, read);
  if (!monitors) co_return fail(response, request, monitors.error());
  std::string text;
  base::JsonWriter json(text);
  json.begin_object().key("monitors").begin_array();
  for (const auto& spec : *monitors) {
    json.begin_object();
    write_spec(json, spec);
    json.end_object();
  }
  json.end_array().end_object();
  response.send_json(std::move(text));
}

base::Result<std::string> describe_monitor(store::Tx& tx, const std::string& endpoint) {
  TRY_SET(const auto spec, monitor_of(tx, endpoint));
  const auto windows = watch::list_windows(tx, endpoint, 0, 1);
  const auto open = watch::open_alerts(tx, endpoint);
  const auto live = serve::get_endpoint(tx, endpoint);
  const int64_t revision = live ? live->live_revision : 0;
  const auto baseline = watch::get_baseline(tx, endpoint, revision);
  const int64_t labels = watch::count_labels(tx, endpoint, 0);
  TRY(tx.status());
  std::string text;
  base::JsonWriter json(text);
  json.begin_object();
  write_spec(json, spec);
  json.field("live_revision", revision).key("baseline");
  if (baseline) {
    json.begin_object().field("profile", baseline->profile_digest).field("evaluation", baseline->evaluation);
    json.field("set_us", baseline->set_us).end_object();
  } else {
    json.null();
  }
  json.field("labels", labels).key("newest_window");
  if (windows.empty()) {
    json.null();
  } else {
    json.begin_object();
    write_window(json, windows[0]);
    json.end_object();
  }
  json.key("open_alerts").begin_array();
  for (const auto& alert : open) json.value(alert.id);
  json.end_array().end_object();
  return text;
}

base::Task<void> get_monitor(const WatchDoor& door, net::Request& request, net::Response& response) {
  const std::string endpoint(request.param("endpoint"));
  auto read = [&endpoint](store::Tx& tx) { return describe_monitor(tx, endpoint); };
  auto text = co_await door.store.read(request.ctx, read);
  if (!text) co_return fail(response, request, text.error());
  response.send_json(std::move(*text));
}

// What is not given is as it is, or the default of a new monitor.
base::Result<watch::MonitorSpec> merge_spec(watch::MonitorSpec spec, const std::string& body) {
  constexpr std::string_view kKeys[] = {"window_rows",   "window_us",     "labels_from_feedback", "ks_alpha",
                                        "psi_threshold", "drifted_share", "consecutive"};
  TRY_SET(const auto document, base::parse_json(body));
  TRY_SET(const auto* in, base::as_object(document, "the body"));
  for (const auto& [key, unused] : *in) {
    if (std::ranges::find(kKeys, std::string_view(key)) != std::end(kKeys)) continue;
    std::string allowed;
    for (const auto name : kKeys) allowed += (allowed.empty() ? "" : ", ") + std::string(name);
    return base::invalid("unknown field '" + std::string(key) + "'; allowed: " + allowed);
  }
  TRY_SET(const auto rows, base::optional_int(*in, "window_rows"));
  TRY_SET(const auto time, base::optional_int(*in, "window_us"));
  TRY_SET(const auto labels, base::optional_bool(*in, "labels_from_feedback"));
  TRY_SET(const auto alpha, base::optional_double(*in, "ks_alpha"));
  TRY_SET(const auto psi, base::optional_double(*in, "psi_threshold"));
  TRY_SET(const auto share, base::optional_double(*in, "drifted_share"));
  TRY_SET(const auto consecutive, base::optional_int(*in, "consecutive"));
  if (rows || time) spec.window_rows = rows.value_or(0), spec.window_us = time.value_or(0);
  spec.labels_from_feedback = labels.value_or(spec.labels_from_feedback);
  spec.ks_alpha = alpha.value_or(spec.ks_alpha);
  spec.psi_threshold = psi.value_or(spec.psi_threshold);
  spec.drifted_share = share.value_or(spec.drifted_share);
  spec.consecutive = static_cast<int>(std::clamp<int64_t>(consecutive.value_or(spec.consecutive), 0, 1000));
  return spec;
}

base::Task<void> put_monitor(const WatchDoor& door, net::Request& request, net::Response& response) {
  const std::string endpoint(request.param("endpoint"));
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  auto write = [&](store::Tx& tx) -> base::Result<std::string> {
    TRY(serve::get_endpoint(tx, endpoint));
    TRY_SET(const auto before, watch::get_monitor(tx, endpoint));
    TRY_SET(const auto spec, merge_spec(before.value_or(watch::MonitorSpec{.endpoint = endpoint}), *body));
    TRY(watch::put_monitor(tx, spec));
    return describe_monitor(tx, endpoint);
  };
  auto text = co_await door.store.write(request.ctx, write);
  if (!text) co_return fail(response, request, text.error());
  response.send_json(std::move(*text));
}

base::Task<void> get_windows(const WatchDoor& door, net::Request& request, net::Response& response) {
  const std::string endpoint(request.param("endpoint"));
  const auto limit = count_query(request, "limit", kPage, kMaxPage);
  if (!limit) co_return fail(response, request, limit.error());
  const auto before = count_query(request, "before", 0, INT64_MAX);
  if (!before) co_return fail(response, request, before.error());
  auto read = [&](store::Tx& tx) -> base::Result<std::vector<watch::Window>> {
    TRY(monitor_of(tx, endpoint));
    auto windows = watch::list_windows(tx, endpoint, *before, static_cast<size_t>(*limit));
    TRY(tx.status());
    return windows;
  };
  const auto windows = co_await door.store.read(request.ctx, read);
  if (!windows) co_return fail(response, request, windows.error());
  std::string text;
  base::JsonWriter json(text);
  json.begin_object().key("windows").begin_array();
  for (const auto& window : *windows) {
    json.begin_object();
    write_window(json, window);
    json.end_object();
  }
  json.end_array().end_object();
  response.send_json(std::move(text));
}

base::Task<void> get_window(const WatchDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("id"));
  auto read = [&id](store::Tx& tx) -> base::Result<std::string> {
    TRY_SET(const auto window, watch::get_window(tx, id));
    const std::string numbers = watch::window_numbers(tx, id);
    std::string text;
    base::JsonWriter json(text);
    json.begin_object();
    write_window(json, window);
    json.key("numbers").raw(numbers.empty() ? "null" : numbers).end_object();
    return text;
  };
  auto text = co_await door.store.read(request.ctx, read);
  if (!text) co_return fail(response, request, text.error());
  response.send_json(std::move(*text));
}

// --- alerts ---------------------------------------------------------------------------------------------------------

base::Task<void> get_alerts(const WatchDoor& door, net::Request& request, net::Response& response) {
  const std::string endpoint = request.query_value("endpoint").value_or("");
  const bool only_open = request.query_value("open").value_or("") == "true";
  const auto limit = count_query(request, "limit", kPage, kMaxPage);
  if (!limit) co_return fail(response, request, limit.error());
  auto read = [&](store::Tx& tx) -> base::Result<std::vector<watch::Alert>> {
    auto alerts =
        only_open ? watch::open_alerts(tx, endpoint) : watch::list_alerts(tx, endpoint, static_cast<size_t>(*limit));
    TRY(tx.status());
    return alerts;
  };
  const auto alerts = co_await door.store.read(request.ctx, read);
  if (!alerts) co_return fail(response, request, alerts.error());
  std::string text;
  base::JsonWriter json(text);
  json.begin_object().key("alerts").begin_array();
  for (const auto& alert : *alerts) {
    json.begin_object();
    write_alert(json, alert);
    json.end_object();
  }
  json.end_array().end_object();
  response.send_json(std::move(text));
}

struct AlertAndBaseline {
  watch::Alert alert;
  std::optional<watch::Baseline> baseline;
};

base::Result<std::optional<watch::Profile>> load_profile(blob::BlobStore& blobs, const AlertAndBaseline& found) {
  if (!found.baseline || found.alert.kind == "accuracy") return std::nullopt;
  TRY_SET(const auto digest, base::Digest::from_hex(base::HashAlgo::kSha256, found.baseline->profile_digest));
  TRY_SET(const std::string text, blobs.get(digest));
  TRY_SET(auto profile, watch::parse_profile(text));
  return std::optional(std::move(profile));
}

base::Task<void> get_alert(const WatchDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("id"));
  auto read = [&id](store::Tx& tx) -> base::Result<AlertAndBaseline> {
    TRY_SET(auto alert, watch::get_alert(tx, id));
    auto baseline = watch::get_baseline(tx, alert.endpoint, alert.revision);
    return AlertAndBaseline{std::move(alert), std::move(baseline)};
  };
  const auto found = co_await door.store.read(request.ctx, read);
  if (!found) co_return fail(response, request, found.error());
  std::string text;
  base::JsonWriter json(text);
  json.begin_object();
  write_alert(json, found->alert);
  if (request.query_value("replay").value_or("") == "true") {
    auto load = [&] { return load_profile(door.blobs, *found); };
    const auto profile = co_await door.offload.run(load);
    if (!profile) co_return fail(response, request, profile.error());
    auto again = [&](store::Tx& tx) { return watch::replay_alert(tx, found->alert, *profile ? &**profile : nullptr); };
    const auto replay = co_await door.store.read(request.ctx, again);
    if (!replay) co_return fail(response, request, replay.error());
    json.key("replay").begin_object().field("equal", replay->equal).key("numbers").raw(replay->numbers).end_object();
  }
  json.end_object();
  response.send_json(std::move(text));
}

}  // namespace

void add_watch_routes(net::RouteTable& routes, const WatchDoor& door) {
  using base::Permission;
  using net::Method;
  const auto add = route_adder(routes, door);
  add(Method::kPost, "/feedback", Permission::kInfer, {.body_bytes = kFeedbackBody}, post_feedback);
  add(Method::kGet, "/monitors", Permission::kRead, kNoBody, get_monitors);
  add(Method::kGet, "/monitors/{endpoint}", Permission::kRead, kNoBody, get_monitor);
  add(Method::kPut, "/monitors/{endpoint}", Permission::kWrite, {}, put_monitor);
  add(Method::kGet, "/monitors/{endpoint}/windows", Permission::kRead, kNoBody, get_windows);
  add(Method::kGet, "/windows/{id}", Permission::kRead, kNoBody, get_window);
  add(Method::kGet, "/alerts", Permission::kRead, kNoBody, get_alerts);
  add(Method::kGet, "/alerts/{id}", Permission::kRead, kNoBody, get_alert);
}

void add_seldon_feedback_routes(net::RouteTable& routes, net::ErrorWriters& errors, const WatchDoor& door) {
  for (const std::string place : {"", "/seldon/{namespace}/{name}"}) {
    for (const std::string version : {"/api/v1.0", "/api/v0.1"}) {
      routes.add({net::Method::kPost,
                  place + version + "/feedback",
                  net::Protocol::kSeldon,
                  base::Permission::kInfer,
                  {.body_bytes = kFeedbackBody},
                  [door, &errors](net::Request& request, net::Response& response) {
                    return post_seldon_feedback(door, errors, request, response);
                  }});
    }
  }
}

}  // namespace api::lathe
