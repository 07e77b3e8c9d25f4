#include "loop/bandit.h"

#include <algorithm>
#include <optional>

#include "base/json.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "core/event.h"
#include "loop/roller.h"
#include "serve/endpoint.h"
#include "stats/bandit.h"

namespace loop {
namespace {

struct Arms {
  int64_t project = 0;
  serve::Endpoint endpoint;
  int64_t decisions = 0;  // so far
  std::optional<BanditDecision> last;
};

base::Context context(const base::Clock& clock, int64_t project) {
  auto ctx = base::Context::system(clock, "system:bandit");
  ctx.project = project;
  return ctx;
}

base::Result<std::vector<Arms>> find_all(store::Store& store, const base::Clock& clock) {
  const auto names = store.read_blocking(
      context(clock, base::kDefaultProject),
      [](store::Tx& tx) -> base::Result<std::vector<std::pair<int64_t, std::string>>> {
        std::vector<std::pair<int64_t, std::string>> out;
        auto rows = tx.query("SELECT project, name FROM endpoints WHERE traffic LIKE '%\"bandit\"%'");
        while (rows.next()) out.emplace_back(rows.i64(0), rows.str(1));
        TRY(tx.status());
        return out;
      });
  if (!names) return std::unexpected(names.error());
  std::vector<Arms> out;
  for (const auto& [project, name] : *names) {
    auto one = store.read_blocking(context(clock, project), [&](store::Tx& tx) -> base::Result<Arms> {
      Arms arms{.project = tx.project()};
      TRY_SET(arms.endpoint, serve::get_endpoint(tx, name));
      auto last = list_bandit_decisions(tx, name, 1);
      if (!last.empty()) arms.last = std::move(last[0]);
      arms.decisions =
          tx.query_i64("SELECT COUNT(*) FROM loop_bandits WHERE project = ? AND endpoint = ?", tx.project(), name)
              .value_or(0);
      TRY(tx.status());
      return arms;
    });
    if (one && one->endpoint.traffic.bandit) out.push_back(std::move(*one));
  }
  return out;
}

// What was known when a decision was made.
std::string known(const std::vector<serve::TrafficPart>& parts, const std::vector<stats::Share>& arms) {
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i)
    out += std::to_string(parts[i].revision) + ":" + std::to_string(arms[i].successes) + "/" +
           std::to_string(arms[i].trials) + " ";
  return out;
}

std::string known(const BanditDecision& decision) {
  std::string out;
  const auto value = base::parse_json(decision.body);
  const auto* object = value ? value->if_object() : nullptr;
  const auto* arms = object ? object->if_contains("arms") : nullptr;
  if (!arms || !arms->is_array()) return out;
  for (const auto& entry : arms->get_array()) {
    const auto& arm = entry.as_object();
    const auto count = [&](std::string_view key) { return std::to_string(arm.at(key).to_number<int64_t>()); };
    out += count("revision") + ":" + count("correct") + "/" + count("labelled") + " ";
  }
  return out;
}

base::Result<void> decide(store::Store& store, serve::Runtime& runtime, const base::Clock& clock, const Arms& now) {
  const serve::TrafficPlan& plan = now.endpoint.traffic;
  const serve::BanditPlan& bandit = *plan.bandit;
  if (now.last && clock.wall_us() - now.last->at_us < bandit.every_us) return {};
  const base::Context ctx = context(clock, now.project);
  TRY_SET(const auto labels, labels_by_revision(store, runtime, ctx, now.endpoint.name, bandit.since_us));
  std::vector<stats::Share> arms;
  int64_t counted = 0;
  for (const serve::TrafficPart& part : plan.parts) {
    const auto of = std::ranges::find(labels, part.revision, &RevisionLabels::revision);
    arms.push_back(of == labels.end() ? stats::Share{} : stats::Share{of->correct, of->labelled});
    counted += arms.back().trials;
  }
  if (counted == 0 || (now.last && known(*now.last) == known(plan.parts, arms))) return {};
  const uint64_t seed = bandit.seed + static_cast<uint64_t>(now.decisions);
  const std::vector<double> shares = stats::thompson_shares(arms, seed);
  const std::vector<uint32_t> weights = stats::parts_with_floor(shares, serve::kWholeShare, bandit.floor);
  serve::TrafficPlan next = plan;
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().field("seed", static_cast<int64_t>(seed)).key("arms").begin_array();
  for (size_t i = 0; i < arms.size(); ++i) {
    next.parts[i].share = weights[i];
    w.begin_object().field("revision", plan.parts[i].revision).field("labelled", arms[i].trials);
    w.field("correct", arms[i].successes).field("share", shares[i]).field("weight", weights[i] / 100.0).end_object();
  }
  w.end_array().end_object();
  TRY(store.write_blocking(ctx, [&](store::Tx& tx) -> base::Result<void> {
    int64_t generation = now.endpoint.generation;
    if (next != plan) {
      TRY_SET(const auto endpoint, serve::set_traffic(tx, now.endpoint.name, next, generation));
      generation = endpoint.generation;
    }
    tx.exec("INSERT INTO loop_bandits (project, endpoint, at_us, generation, body) VALUES (?, ?, ?, ?, ?)",
            tx.project(), now.endpoint.name, tx.now_us(), generation, body);
    tx.exec(
        "DELETE FROM loop_bandits WHERE project = ? AND endpoint = ? AND at_us <= (SELECT at_us FROM loop_bandits "
        "WHERE "
        "project = ? AND endpoint = ? ORDER BY at_us DESC LIMIT 1 OFFSET ?)",
        tx.project(), now.endpoint.name, tx.project(), now.endpoint.name, kKeptBanditDecisions);
    core::emit(tx, "bandit.decided", "endpoint", now.endpoint.name, body);
    return tx.status();
  }));
  return runtime.refresh();
}

}  // namespace

std::vector<BanditDecision> list_bandit_decisions(store::Tx& tx, std::string_view endpoint, size_t limit) {
  std::vector<BanditDecision> out;
  auto rows = tx.query(
      "SELECT at_us, generation, body FROM loop_bandits WHERE project = ? AND endpoint = ? ORDER BY at_us DESC LIMIT ?",
      tx.project(), endpoint, static_cast<int64_t>(limit));
  while (rows.next()) out.push_back({rows.i64(0), rows.i64(1), rows.str(2)});
  return out;
}

size_t look_at_bandits(store::Store& store, serve::Runtime& runtime, const base::Clock& clock) {
  const auto all = find_all(store, clock);
  if (!all) return 0;
  for (const Arms& one : *all) {
    // Somebody who changed the traffic meanwhile is right; the next look sees what is then.
    if (const auto done = decide(store, runtime, clock, one);
        !done && done.error().code != base::Code::kConflict && done.error().code != base::Code::kCancelled)
      base::log::warn("a bandit cannot decide; it is tried again",
                      {{"endpoint", one.endpoint.name}, {"error", done.error().message}});
  }
  return all->size();
}

}  // namespace loop
