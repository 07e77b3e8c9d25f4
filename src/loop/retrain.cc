#include "loop/retrain.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "base/json.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "core/event.h"
#include "core/lineage.h"
#include "data/data.h"
#include "flow/flow.h"
#include "loop/apply.h"
#include "serve/endpoint.h"
#include "track/registry.h"
#include "watch/watch.h"

namespace loop {

namespace {

constexpr int64_t kRetryUs = 5'000'000;

bool was_used(store::Tx& tx, std::string_view alert) {
  return tx.query_i64("SELECT COUNT(*) FROM loop_retrainings WHERE project = ? AND alert = ?", tx.project(), alert)
             .value_or(0) > 0;
}

// When the alert's first crossing window began; its numbers list the windows, oldest first.
int64_t drifting_since(const watch::Alert& alert) {
  const auto numbers = base::parse_json(alert.numbers);
  if (!numbers || !numbers->is_object()) return alert.raised_us;
  const auto* windows = numbers->as_object().if_contains("windows");
  if (windows == nullptr || !windows->is_array() || windows->as_array().empty() || !windows->as_array()[0].is_object())
    return alert.raised_us;
  const auto since = base::optional_int(windows->as_array()[0].as_object(), "first_us");
  return since && *since ? **since : alert.raised_us;
}

// When the endpoint's last retraining began, and whether it still runs.
struct LastRetraining {
  int64_t at_us = 0;
  bool running = false;
};
base::Result<LastRetraining> last_retraining(store::Tx& tx, std::string_view endpoint) {
  LastRetraining out;
  std::string run_id;
  {
    auto rows = tx.query(
        "SELECT run, at_us FROM loop_retrainings WHERE project = ? AND endpoint = ? ORDER BY at_us DESC LIMIT 1",
        tx.project(), endpoint);
    if (!rows.next()) return out;
    run_id = rows.str(0);
    out.at_us = rows.i64(1);
  }
  TRY_SET(const auto run, flow::get_run(tx, run_id));
  out.running = run.ended_us == 0;
  return out;
}

// The data version that the serving model was trained on: a retraining goes on from it. "" if it cannot be told, as for
// a model that was logged by hand.
base::Result<std::string> champion_data(store::Tx& tx, std::string_view endpoint, int64_t revision,
                                        std::string_view name) {
  TRY_SET(const auto serving, serve::get_revision(tx, endpoint, revision));
  TRY_SET(const auto version, track::get_model_version(tx, serving.model_name, serving.model_version));
  if (version.model_id.empty()) return std::string();
  TRY_SET(const auto model, track::get_logged_model(tx, version.model_id));
  if (model.attempt.empty()) return std::string();
  for (const auto& edge : core::edges_into(tx, {"attempt", model.attempt})) {
    if (edge.from.kind != "data_version") continue;
    TRY_SET(const auto data, data::get_version(tx, edge.from.id));
    if (data.name == name) return data.id;
  }
  return std::string();
}

base::Result<std::string> start(store::Tx& tx, const EndpointOwner& owner, const Config& config,
                                const watch::Alert& alert, int64_t labels) {
  flow::NewRun wanted;
  wanted.pipeline = owner.pipeline;
  wanted.cause = "alert:" + alert.id;
  wanted.params = {{"retrain", "1"}, {"alert", alert.id}};
  TRY_SET(const std::string data, champion_data(tx, owner.endpoint, alert.revision, config.evaluate.data));
  if (!data.empty()) wanted.params["champion_data"] = data;
  TRY_SET(const auto run, flow::create_run(tx, wanted));
  tx.exec("INSERT INTO loop_retrainings (project, alert, endpoint, run, labels, at_us) VALUES (?, ?, ?, ?, ?, ?)",
          tx.project(), alert.id, owner.endpoint, run.id, labels, tx.now_us());
  std::string body;
  base::JsonWriter(body)
      .begin_object()
      .field("alert", alert.id)
      .field("endpoint", owner.endpoint)
      .field("labels", labels)
      .end_object();
  core::emit(tx, "retraining.started", "pipeline_run", run.id, body);
  return run.id;
}

void sooner(int64_t& at, int64_t candidate) {
  if (at == 0 || candidate < at) at = candidate;
}

base::Result<void> check_endpoint(store::Tx& tx, const EndpointOwner& owner, RetrainCheck& out) {
  const auto alerts = watch::open_alerts(tx, owner.endpoint);
  if (alerts.empty()) return {};
  TRY_SET(const auto endpoint, serve::get_endpoint(tx, owner.endpoint));
  std::vector<watch::Alert> open;
  for (const auto& alert : alerts) {
    if (alert.revision == endpoint.live_revision && !was_used(tx, alert.id)) open.push_back(alert);
  }
  if (open.empty()) return {};
  TRY_SET(const auto applied, current_applied(tx, owner.pipeline));
  if (!applied) return {};
  TRY_SET(const auto config, config_of(*applied));
  const Environment* env = config.environment(owner.environment);
  if (env == nullptr || env->endpoint != owner.endpoint) return {};  // no longer declared
  const auto& rule = env->retrain;
  std::erase_if(open, [&](const watch::Alert& a) {
    return std::find(rule.alerts.begin(), rule.alerts.end(), a.kind) == rule.alerts.end();
  });
  if (open.empty()) return {};

  const auto& alert = *std::min_element(open.begin(), open.end(),
                                        [](const auto& a, const auto& b) { return a.raised_us < b.raised_us; });
  TRY_SET(const auto last, last_retraining(tx, owner.endpoint));
  if (last.running) {
    sooner(out.look_again_us, tx.now_us() + kRetryUs);
    return {};
  }
  if (last.at_us > 0 && tx.now_us() < last.at_us + rule.cooldown_us) {
    sooner(out.look_again_us, last.at_us + rule.cooldown_us);
    return {};
  }
  const int64_t labels = watch::count_labels(tx, owner.endpoint, drifting_since(alert));
  if (labels < rule.min_labels) return {};  // the next feedback brings us back
  TRY_SET(auto run, start(tx, owner, config, alert, labels));
  out.started.push_back(std::move(run));
  return {};
}

}  // namespace

base::Result<RetrainCheck> check_retraining(store::Tx& tx) {
  std::vector<EndpointOwner> owners;
  {
    auto rows = tx.query(
        "SELECT endpoint, pipeline, environment FROM loop_endpoints WHERE project = ? ORDER BY endpoint", tx.project());
    while (rows.next()) owners.push_back({rows.str(0), rows.str(1), rows.str(2)});
  }
  RetrainCheck out;
  for (const auto& owner : owners) TRY(check_endpoint(tx, owner, out));
  return out;
}

std::vector<Retraining> list_retrainings(store::Tx& tx, std::string_view endpoint, size_t limit) {
  std::vector<Retraining> out;
  auto rows = tx.query(
      "SELECT alert, endpoint, run, labels, at_us FROM loop_retrainings WHERE project = ? AND endpoint = ? ORDER BY "
      "at_us DESC LIMIT ?",
      tx.project(), endpoint, static_cast<int64_t>(limit));
  while (rows.next()) out.push_back({rows.str(0), rows.str(1), rows.str(2), rows.i64(3), rows.i64(4)});
  return out;
}

struct Retrainer::Impl {
  Impl(store::Store& s, const base::Clock& c) : store(s), clock(c) {
    consumer = std::make_unique<core::Consumer>(
        store, clock, std::string(kRetrainConsumer), [this](store::Tx& tx, const core::Event&) { return on_event(tx); },
        /*from_start=*/false,
        [](const core::Event& event) { return event.kind == "alert.raised" || event.kind == "feedback.received"; });
    timer = std::jthread([this](std::stop_token stop) { run_timer(stop); });
  }

  base::Result<void> on_event(store::Tx& tx) {
    TRY_SET(const auto check, check_retraining(tx));
    wake_at(check.look_again_us);
    return {};
  }

  void wake_at(int64_t wall_us) {
    if (wall_us == 0) return;
    const std::lock_guard lock(mutex);
    sooner(due_us, wall_us);
    changed.notify_all();
  }

  void run_timer(const std::stop_token& stop) {
    look();  // what became due while no server ran
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
      if (due_us == 0) {
        changed.wait(lock, stop, [&] { return due_us != 0; });
        continue;
      }
      const int64_t wait_us = due_us - clock.wall_us();
      const int64_t was = due_us;
      if (wait_us > 0) {
        changed.wait_for(lock, stop, std::chrono::microseconds(wait_us), [&] { return due_us != was; });
        continue;
      }
      due_us = 0;
      lock.unlock();
      look();
      lock.lock();
    }
  }

  void look() {
    const auto ctx = base::Context::system(clock, "system:retrain");
    const auto projects = store.read_blocking(ctx, [](store::Tx& tx) -> base::Result<std::vector<int64_t>> {
      std::vector<int64_t> out;
      auto rows = tx.query("SELECT DISTINCT project FROM loop_endpoints ORDER BY project");
      while (rows.next()) out.push_back(rows.i64(0));
      return out;
    });
    if (!projects) {
      base::log::warn("retraining: cannot look at the endpoints", {{"error", projects.error().message}});
      wake_at(clock.wall_us() + kRetryUs);
      return;
    }
    for (const int64_t project : *projects) {
      auto own = ctx;
      own.project = project;
      own.now_us = clock.wall_us();
      const auto check = store.write_blocking(own, [](store::Tx& tx) { return check_retraining(tx); });
      if (!check) base::log::warn("retraining: check failed", {{"project", project}, {"error", check.error().message}});
      wake_at(check ? check->look_again_us : clock.wall_us() + kRetryUs);
    }
  }

  store::Store& store;
  const base::Clock& clock;
  std::mutex mutex;
  std::condition_variable_any changed;
  int64_t due_us = 0;
  std::unique_ptr<core::Consumer> consumer;
  std::jthread timer;
};

Retrainer::Retrainer(store::Store& store, const base::Clock& clock) : impl_(std::make_unique<Impl>(store, clock)) {}
Retrainer::~Retrainer() = default;

}  // namespace loop
