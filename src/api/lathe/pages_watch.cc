#include "api/lathe/pages_watch.h"

#include <algorithm>
#include <optional>

#include "api/lathe/page_args.h"
#include "api/lathe/page_text.h"
#include "flow/flow.h"
#include "loop/retrain.h"
#include "loop/verdict.h"
#include "serve/endpoint.h"
#include "stats/interval.h"
#include "watch/browse.h"

namespace api::lathe {
namespace {

using base::Result;
using base::Task;

constexpr size_t kCardWindows = 40;
constexpr size_t kAlerts = 100;

void write_window(base::JsonWriter& w, const watch::Window& win, std::optional<double> share = std::nullopt) {
  w.begin_object().field("id", win.id).field("number", win.number).field("revision", win.revision);
  w.field("first_us", win.first_us).field("last_us", win.last_us).field("closed_us", win.closed_us);
  w.field("requests", win.requests).field("rows", win.rows).field("judged", win.judged);
  w.field("drifted", win.drifted).field("bad_quality", win.bad_quality);
  if (share) w.field("drifted_share", *share);
  w.field("labelled", win.labels.labelled).field("correct", win.labels.correct).key("accuracy");
  if (win.labels.labelled > 0) {
    const auto interval = stats::wilson_interval(win.labels.correct, win.labels.labelled);
    w.begin_object().field("value", static_cast<double>(win.labels.correct) / static_cast<double>(win.labels.labelled));
    w.field("low", interval.low).field("high", interval.high).end_object();
  } else {
    w.null();
  }
  w.field("regression", win.regression);
  if (win.regression && win.labels.labelled > 0) {
    const auto interval = watch::mean_error_interval(win.labels);
    w.key("mean_absolute_error").begin_object().field("value", win.labels.mean_absolute_error());
    w.field("low", interval.low).field("high", interval.high).end_object();
  }
  w.end_object();
}

void write_spec(base::JsonWriter& w, const watch::MonitorSpec& spec) {
  w.key("spec").begin_object().field("window_rows", spec.window_rows).field("window_us", spec.window_us);
  w.field("labels_from_feedback", spec.labels_from_feedback).field("ks_alpha", spec.ks_alpha);
  w.field("psi_threshold", spec.psi_threshold).field("drifted_share", spec.drifted_share);
  w.field("consecutive", spec.consecutive).end_object();
}

Task<void> list(const MonitorPagesDoor& door, net::Request& request, net::Response& response) {
  auto read = [](store::Tx& tx) -> Result<std::string> {
    std::string out;
    base::JsonWriter w(out);
    w.begin_object().key("monitors").begin_array();
    for (const auto& spec : watch::list_monitors(tx)) {
      const auto windows = watch::list_windows(tx, spec.endpoint, 0, kCardWindows);
      const auto live = serve::get_endpoint(tx, spec.endpoint);
      w.begin_object().field("endpoint", spec.endpoint);
      w.field("environment", live ? live->environment : "").field("live_revision", live ? live->live_revision : 0);
      w.field("labels", watch::count_labels(tx, spec.endpoint, 0));
      write_spec(w, spec);
      w.key("windows").begin_array();
      for (const auto& window : windows) write_window(w, window);
      w.end_array().key("open_alerts").begin_array();
      for (const auto& alert : watch::open_alerts(tx, spec.endpoint))
        w.begin_object()
            .field("id", alert.id)
            .field("kind", alert.kind)
            .field("raised_us", alert.raised_us)
            .end_object();
      w.end_array().end_object();
    }
    w.end_array().end_object();
    TRY(tx.status());
    return out;
  };
  co_await answer_read(door.store, request, response, read);
}

// Cells as columns of numbers: hundreds of features times windows, mostly numbers of three digits.
void write_matrix(base::JsonWriter& w, const watch::DriftMatrix& matrix) {
  w.key("feature_count").value(matrix.feature_count).key("features").begin_array();
  for (const auto& f : matrix.features) {
    w.begin_object().field("name", f.name).field("kind", watch::name(f.kind)).field("drifted", f.drifted);
    w.field("newest_psi", f.newest_psi).field("worst_psi", f.worst_psi);
    const auto column = [&](std::string_view key, auto value) {
      w.key(key).begin_array();
      for (const auto& cell : f.cells) {
        if (cell && cell->tested)
          w.value(value(*cell));
        else
          w.null();
      }
      w.end_array();
    };
    column("psi", [](const auto& c) { return c.psi; });
    column("d", [](const auto& c) { return c.d; });
    column("p_holm", [](const auto& c) { return c.p_holm; });
    w.key("flags").begin_array();  // 0 fine, 1 drifted, 2 bad quality, 3 both; null: not judged
    for (const auto& cell : f.cells) {
      if (cell)
        w.value((cell->drifted ? 1 : 0) + (cell->bad_quality ? 2 : 0));
      else
        w.null();
    }
    w.end_array().end_object();
  }
  w.end_array();
}

void write_started(base::JsonWriter& w, store::Tx& tx, const std::vector<loop::Retraining>& retrainings,
                   const std::string& alert) {
  w.key("started");
  const auto found = std::ranges::find(retrainings, alert, &loop::Retraining::alert);
  if (found == retrainings.end()) return void(w.null());
  w.begin_object().field("run", found->run).field("labels", found->labels).field("at_us", found->at_us);
  if (const auto run = flow::get_run(tx, found->run))
    w.field("pipeline", run->pipeline).field("number", run->number).field("state", flow::name(run->state));
  w.key("verdict");
  const auto verdict = loop::verdict_of_run(tx, found->run);
  if (verdict && *verdict) {
    w.begin_object().field("id", (*verdict)->id).field("passed", (*verdict)->passed);
    w.field("reason", (*verdict)->reason).end_object();
  } else {
    w.null();
  }
  w.end_object();
}

void write_alerts(base::JsonWriter& w, store::Tx& tx, const std::string& endpoint) {
  const auto retrainings = loop::list_retrainings(tx, endpoint, kAlerts);
  w.key("alerts").begin_array();
  for (const auto& alert : watch::list_alerts(tx, endpoint, kAlerts)) {
    w.begin_object().field("id", alert.id).field("kind", alert.kind).field("revision", alert.revision);
    w.field("raised_us", alert.raised_us).field("ended_us", alert.ended_us).key("numbers").raw(alert.numbers);
    write_started(w, tx, retrainings, alert.id);
    w.end_object();
  }
  w.end_array();
}

Result<std::string> monitor_page(store::Tx& tx, const std::string& endpoint, std::vector<watch::Window> windows,
                                 size_t features) {
  TRY_SET(const auto spec, watch::get_monitor(tx, endpoint));
  if (!spec) return base::not_found("endpoint '" + endpoint + "' is not monitored");
  const auto live = serve::get_endpoint(tx, endpoint);
  const int64_t revision = live ? live->live_revision : 0;
  TRY_SET(const auto matrix, watch::drift_matrix(tx, std::move(windows), features));
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().field("endpoint", endpoint).field("environment", live ? live->environment : "");
  w.field("live_revision", revision).field("labels", watch::count_labels(tx, endpoint, 0));
  write_spec(w, *spec);
  w.key("baseline");
  if (const auto baseline = watch::get_baseline(tx, endpoint, revision)) {
    w.begin_object().field("evaluation", baseline->evaluation).field("profile", baseline->profile_digest);
    w.field("set_us", baseline->set_us).end_object();
  } else {
    w.null();
  }
  w.key("windows").begin_array();
  for (size_t i = 0; i < matrix.windows.size(); ++i) write_window(w, matrix.windows[i], matrix.shares[i]);
  w.end_array();
  write_matrix(w, matrix);
  write_alerts(w, tx, endpoint);
  w.end_object();
  TRY(tx.status());
  return out;
}

Task<void> show(const MonitorPagesDoor& door, net::Request& request, net::Response& response) {
  PageArgs args(request);
  const int64_t from_us = args.integer("from_us", 0, 0, INT64_MAX / 2);
  const int64_t to_us = args.integer("to_us", INT64_MAX / 2, 0, INT64_MAX / 2);
  const auto windows = static_cast<size_t>(args.integer("windows", 60, 1, watch::kMaxMatrixWindows));
  const auto features = static_cast<size_t>(args.integer("features", 100, 1, watch::kMaxMatrixFeatures));
  if (auto ok = args.status(); !ok) co_return fail(response, request, ok.error());
  auto read = [=, endpoint = std::string(request.param("endpoint"))](store::Tx& tx) {
    return monitor_page(tx, endpoint, watch::windows_between(tx, endpoint, from_us, to_us, windows), features);
  };
  co_await answer_read(door.store, request, response, read);
}

// --- one feature ----------------------------------------------------------------------------------------------------

struct FeatureFound {
  watch::Window window;
  watch::WindowNumbers numbers;
  watch::Baseline baseline;
  watch::MonitorSpec spec;
};

Result<FeatureFound> find_window(store::Tx& tx, const std::string& endpoint, const std::string& window) {
  FeatureFound out;
  TRY_SET(const auto spec, watch::get_monitor(tx, endpoint));
  if (!spec) return base::not_found("endpoint '" + endpoint + "' is not monitored");
  out.spec = *spec;
  if (!window.empty()) {
    TRY_SET(out.window, watch::get_window(tx, window));
  } else {
    const auto newest = watch::list_windows(tx, endpoint, 0, 50);
    const auto judged = std::ranges::find_if(newest, [](const auto& w) { return w.judged; });
    if (judged == newest.end()) return base::not_found("no window of endpoint '" + endpoint + "' has been judged yet");
    out.window = *judged;
  }
  if (out.window.endpoint != endpoint)
    return base::not_found("endpoint '" + endpoint + "' has no window '" + window + "'");
  const std::string text = watch::window_numbers(tx, out.window.id);
  const auto baseline = watch::get_baseline(tx, endpoint, out.window.revision);
  TRY(tx.status());
  if (text.empty() || !out.window.judged || !baseline)
    return base::not_found("window " + std::to_string(out.window.number) + " was not compared with a baseline");
  TRY_SET(out.numbers, watch::parse_window_numbers(text));
  out.baseline = *baseline;
  return out;
}

Result<watch::Profile> load_profile(blob::BlobStore& blobs, const watch::Baseline& baseline) {
  TRY_SET(const auto digest, base::Digest::from_hex(base::HashAlgo::kSha256, baseline.profile_digest));
  TRY_SET(const std::string text, blobs.get(digest));
  return watch::parse_profile(text);
}

template <class Values>
void write_list(base::JsonWriter& w, std::string_view key, const Values& values) {
  w.key(key).begin_array();
  for (const auto& value : values) w.value(value);
  w.end_array();
}

std::string feature_json(const FeatureFound& found, const watch::FeatureProfile& before,
                         const watch::FeatureNumbers& now) {
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().field("name", before.name).field("kind", watch::name(before.kind));
  w.key("window");
  write_window(w, found.window);
  w.field("psi_threshold", found.spec.psi_threshold).field("ks_alpha", found.spec.ks_alpha);
  w.key("baseline").begin_object().field("rows", before.rows).field("missing", before.missing);
  w.field("low", before.low).field("high", before.high);
  write_list(w, "edges", before.bins.edges);
  w.key("categories").begin_array();
  for (const auto& category : before.categories) w.value(clean_text(category));
  w.end_array();
  write_list(w, "counts", before.counts);
  w.end_object().key("now").begin_object().field("rows", now.rows).field("missing", now.missing);
  w.field("wrong_type", now.wrong_type).field("out_of_range", now.out_of_range).field("unseen", now.unseen);
  w.field("off_constant", now.off_constant).field("tested", now.tested).field("drifted", now.drifted);
  w.field("bad_quality", now.bad_quality).field("psi", now.psi).field("d", now.d).field("p", now.p);
  w.field("p_holm", now.p_holm).field("p_bh", now.p_bh).field("quality_p", now.quality_p);
  write_list(w, "counts", now.counts);
  w.end_object().end_object();
  return out;
}

Task<void> feature(const MonitorPagesDoor& door, net::Request& request, net::Response& response) {
  const std::string endpoint(request.param("endpoint"));
  const std::string name = request.query_value("name").value_or("");
  const std::string window = request.query_value("window").value_or("");
  if (name.empty()) co_return fail(response, request, {base::Code::kInvalid, "'name', of the feature, is missing"});
  const auto found =
      co_await door.store.read(request.ctx, [&](store::Tx& tx) { return find_window(tx, endpoint, window); });
  if (!found) co_return fail(response, request, found.error());
  const auto profile = co_await door.offload.run([&] { return load_profile(door.blobs, found->baseline); });
  if (!profile) co_return fail(response, request, profile.error());
  const auto* before = watch::find_feature(*profile, name);
  const auto* now = watch::find_feature(found->numbers, name);
  if (!before || !now) {
    co_return fail(
        response, request,
        {base::Code::kNotFound, "the baseline of endpoint '" + endpoint + "' has no feature '" + name + "'"});
  }
  response.send_json(feature_json(*found, *before, *now));
}

}  // namespace

void add_pages_watch_routes(net::RouteTable& routes, const MonitorPagesDoor& door) {
  add_page(routes, door, "/monitors", list);
  add_page(routes, door, "/monitors/{endpoint}", show);
  add_page(routes, door, "/monitors/{endpoint}/feature", feature);
}

}  // namespace api::lathe
