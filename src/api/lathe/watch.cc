#include "api/lathe/watch.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "api/lathe/errors.h"
#include "api/lathe/watch_feedback.h"
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
constexpr net::RouteLimits kNoBody{.body_bytes = 0};

base::Result<int64_t> count_query(const net::Request& request, std::string_view key, int64_t fallback, int64_t most) {
  const auto text = request.query_value(key);
  if (!text) return fallback;
  int64_t n = -1;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), n);
  if (error != std::errc() || end != text->data() + text->size() || n < 1 || n > most) {
    return base::invalid("'" + std::string(key) + "' is '" + *text + "'; it must be a whole number from 1 to " + std::to_string(most));
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
  bool flushed = false;
  for (auto& [id, known] : predictions) {
    if (!serve::parse_prediction_id(id)) continue;
    TRY_SET(auto found, capture.find(id));
    if (!found && !flushed) {
      capture.flush();
      flushed = true;
      TRY_SET(found, capture.find(id));
    }
    if (found && found->project == project) known = Known{found->endpoint, found->row_count};
  }
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

base::Task<void> post_feedback(const WatchDoor& door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  auto labels = parse_feedback(*body);
  if (!labels) co_return fail(response, request, labels.error());
  KnownById predictions;
  for (const auto& label : *labels) predictions.try_emplace(label.prediction);
  auto look = [&door, &predictions, project = request.ctx.project] { return look_up(door.capture, project, predictions); };
  if (const auto looked = co_await door.offload.run(look); !looked) co_return fail(response, request, looked.error());
  if (const auto tied = tie_to_endpoints(*labels, predictions); !tied) co_return fail(response, request, tied.error());
  auto put = [&labels](store::Tx& tx) { return watch::put_feedback(tx, *labels); };
  const auto fresh = co_await door.store.write(request.ctx, put);
  if (!fresh) co_return fail(response, request, fresh.error());
  std::string text;
  base::JsonWriter json(text);
  json.begin_object().field("received", labels->size()).field("new", *fresh).key("unknown").begin_array();
  for (const auto& [id, known] : predictions) {
    if (!known) json.value(id);
  }
  json.end_array().end_object();
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
  json.field("labelled", w.labelled).field("correct", w.correct);
  if (w.labelled > 0) {
    const auto interval = stats::wilson_interval(w.correct, w.labelled);
    json.field("accuracy", static_cast<double>(w.correct) / static_cast<double>(w.labelled));
    json.key("interval").begin_array().value(interval.low).value(interval.high).end_array();
    json.field("mean_absolute_error", w.absolute_error / static_cast<double>(w.labelled));
  }
}

void write_alert(base::JsonWriter& json, const watch::Alert& alert) {
  json.field("id", alert.id).field("endpoint", alert.endpoint).field("revision", alert.revision).field("kind", alert.kind);
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
  constexpr std::string_view kKeys[] = {"window_rows", "window_us", "labels_from_feedback", "ks_alpha", "psi_threshold",
                                        "drifted_share", "consecutive"};
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
    auto alerts = only_open ? watch::open_alerts(tx, endpoint) : watch::list_alerts(tx, endpoint, static_cast<size_t>(*limit));
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
  using net::Method;
  using base::Permission;
  auto add = [&](Method method, const std::string& path, Permission permission, net::RouteLimits limits, auto handler) {
    routes.add({method, "/api/lathe/v1" + path, net::Protocol::kLathe, permission, limits,
                [door, handler](net::Request& request, net::Response& response) { return handler(door, request, response); }});
  };
  add(Method::kPost, "/feedback", Permission::kInfer, {.body_bytes = kFeedbackBody}, post_feedback);
  add(Method::kGet, "/monitors", Permission::kRead, kNoBody, get_monitors);
  add(Method::kGet, "/monitors/{endpoint}", Permission::kRead, kNoBody, get_monitor);
  add(Method::kPut, "/monitors/{endpoint}", Permission::kWrite, {}, put_monitor);
  add(Method::kGet, "/monitors/{endpoint}/windows", Permission::kRead, kNoBody, get_windows);
  add(Method::kGet, "/windows/{id}", Permission::kRead, kNoBody, get_window);
  add(Method::kGet, "/alerts", Permission::kRead, kNoBody, get_alerts);
  add(Method::kGet, "/alerts/{id}", Permission::kRead, kNoBody, get_alert);
}

}  // namespace api::lathe
