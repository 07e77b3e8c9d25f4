#include "traces/scorers.h"

#include "core/audit.h"
#include "core/event.h"
#include "traces/python_json.h"
#include "traces/span.h"
#include "track/experiments.h"
#include "track/search_sql.h"
#include "track/validate.h"

namespace traces {

namespace json = base::json;
using base::invalid;
using base::not_found;
using base::Result;

namespace {

constexpr int64_t kListed = 10'000;

std::unexpected<base::Error> no_scorer(const ScorerName& name) {
  const std::string version = name.version ? " and version " + std::to_string(*name.version) : "";
  return not_found("Scorer with name '" + name.name + "'" + version + " not found for experiment " +
                   name.experiment_id + ".");
}

Scorer read(store::Rows& rows) {
  return {rows.i64(0), rows.str(1), rows.str(2), rows.str(3), rows.i64(4), rows.i64(5)};
}

constexpr std::string_view kSelect =
    "SELECT s.exp, s.name, s.scorer_id, v.content, v.version, v.created_ms FROM scorers s "
    "JOIN scorer_versions v ON v.project = s.project AND v.scorer = s.id WHERE s.project = ? AND s.exp = ? "
    "AND s.name = ?";

// A scorer made by a decorator carries code as text. Upstream's server refuses it too, lest anything ever runs it.
bool carries_code(const json::value& value, size_t depth = 0) {
  if (depth > base::kMaxJsonDepth) return true;
  if (value.is_array()) {
    for (const json::value& item : value.get_array()) {
      if (carries_code(item, depth + 1)) return true;
    }
  }
  if (!value.is_object()) return false;
  for (const auto& [key, item] : value.get_object()) {
    if (key == "call_source" && !item.is_null()) return true;
    if (carries_code(item, depth + 1)) return true;
  }
  return false;
}

Result<void> check(const NewScorer& scorer) {
  if (scorer.name.find_first_not_of(" \t\r\n") == scorer.name.npos) {
    return invalid("Scorer name cannot be empty or contain only whitespace.");
  }
  TRY(track::check_length("Scorer name", kScorerNameChars, scorer.name));
  if (scorer.content.size() > kScorerBytes) {
    return base::fail(base::Code::kTooLarge,
                      "A serialized scorer has at most " + std::to_string(kScorerBytes) + " bytes");
  }
  const auto parsed = try_parse(scorer.content);
  if (!parsed) return invalid("serialized_scorer must be valid JSON");
  if (carries_code(*parsed)) {
    return invalid(
        "Registering scorers that carry their source code (@scorer) is not supported by this server; "
        "register a judge such as Guidelines, or run the scorer from the client.");
  }
  return {};
}

}  // namespace

Result<Scorer> register_scorer(store::Tx& tx, const NewScorer& scorer) {
  TRY(check(scorer));
  TRY_SET(const track::Experiment experiment, track::active_experiment(tx, scorer.experiment_id));
  tx.lock("scorer", std::to_string(experiment.id) + "/" + scorer.name);
  std::optional<int64_t> row;
  Scorer out{experiment.id, scorer.name, "", scorer.content, 1, track::now_ms(tx)};
  {
    auto rows = tx.query("SELECT id, scorer_id, last_version FROM scorers WHERE project = ? AND exp = ? AND name = ?",
                         tx.project(), experiment.id, scorer.name);
    if (rows.next()) row = rows.i64(0), out.scorer_id = rows.str(1), out.version = rows.i64(2) + 1;
  }
  if (!row) {
    out.scorer_id = tx.ctx().new_hex32();
    for (const size_t at : {8, 13, 18, 23}) out.scorer_id.insert(at, "-");
    row = tx.query_i64(
        "INSERT INTO scorers (project, exp, name, scorer_id, last_version) VALUES (?, ?, ?, ?, 1) RETURNING id",
        tx.project(), experiment.id, scorer.name, out.scorer_id);
  } else {
    tx.exec("UPDATE scorers SET last_version = ? WHERE project = ? AND id = ?", out.version, tx.project(), *row);
  }
  tx.exec("INSERT INTO scorer_versions (project, scorer, version, content, created_ms) VALUES (?, ?, ?, ?, ?)",
          tx.project(), row.value_or(0), out.version, out.content, out.created_ms);
  core::emit(tx, "scorer.registered", "scorer", out.scorer_id, "{\"version\": " + std::to_string(out.version) + "}");
  TRY(tx.status());
  return out;
}

Result<int64_t> import_scorer(store::Tx& tx, const std::vector<Scorer>& versions) {
  if (versions.empty()) return 0;
  const Scorer& last = versions.back();
  tx.lock("scorer", std::to_string(last.experiment) + "/" + last.name);
  const auto find = [&] {
    return tx.query_i64("SELECT id FROM scorers WHERE project = ? AND exp = ? AND name = ?", tx.project(),
                        last.experiment, last.name);
  };
  auto row = find();
  if (!row) {
    tx.exec("INSERT INTO scorers (project, exp, name, scorer_id, last_version) VALUES (?, ?, ?, ?, ?)", tx.project(),
            last.experiment, last.name, last.scorer_id, last.version);
    row = find();
  }
  int64_t made = 0;
  for (const Scorer& each : versions) {
    made += tx.exec(
        "INSERT INTO scorer_versions (project, scorer, version, content, created_ms) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (project, scorer, version) DO NOTHING",
        tx.project(), row.value_or(0), each.version, each.content, each.created_ms);
  }
  tx.exec("UPDATE scorers SET last_version = ? WHERE project = ? AND id = ? AND last_version < ?", last.version,
          tx.project(), row.value_or(0), last.version);
  if (made > 0) core::emit(tx, "scorer.registered", "scorer", last.scorer_id);
  TRY(tx.status());
  return made;
}

Result<std::vector<int64_t>> scorer_version_numbers(store::Tx& tx, int64_t experiment, std::string_view name) {
  std::vector<int64_t> out;
  auto rows = tx.query(
      "SELECT v.version FROM scorers s JOIN scorer_versions v ON v.project = s.project AND v.scorer = s.id "
      "WHERE s.project = ? AND s.exp = ? AND s.name = ? ORDER BY v.version",
      tx.project(), experiment, name);
  while (rows.next()) out.push_back(rows.i64(0));
  TRY(tx.status());
  return out;
}

Result<Scorer> get_scorer(store::Tx& tx, const ScorerName& name) {
  TRY_SET(const track::Experiment experiment, track::active_experiment(tx, name.experiment_id));
  auto rows =
      name.version
          ? tx.query(std::string(kSelect) + " AND v.version = ?", tx.project(), experiment.id, name.name, *name.version)
          : tx.query(std::string(kSelect) + " ORDER BY v.version DESC LIMIT 1", tx.project(), experiment.id, name.name);
  if (!rows.next()) {
    TRY(tx.status());
    return no_scorer(name);
  }
  return read(rows);
}

Result<void> delete_scorer(store::Tx& tx, const ScorerName& name) {
  TRY_SET(const track::Experiment experiment, track::active_experiment(tx, name.experiment_id));
  std::optional<int64_t> row;
  std::string id;
  {
    auto rows = tx.query("SELECT id, scorer_id FROM scorers WHERE project = ? AND exp = ? AND name = ?", tx.project(),
                         experiment.id, name.name);
    if (rows.next()) row = rows.i64(0), id = rows.str(1);
  }
  if (!row) return no_scorer({name.experiment_id, name.name, std::nullopt});
  const int64_t gone =
      name.version ? tx.exec("DELETE FROM scorer_versions WHERE project = ? AND scorer = ? AND version = ?",
                             tx.project(), *row, *name.version)
                   : tx.exec("DELETE FROM scorer_versions WHERE project = ? AND scorer = ?", tx.project(), *row);
  TRY(tx.status());
  if (gone == 0) return no_scorer(name);
  if (!name.version) tx.exec("DELETE FROM scorers WHERE project = ? AND id = ?", tx.project(), *row);
  core::emit(tx, "scorer.deleted", "scorer", id);
  core::audit(tx, "scorer.deleted", "scorer", id);
  return tx.status();
}

Result<std::vector<Scorer>> scorer_versions(store::Tx& tx, const ScorerName& name) {
  TRY_SET(const track::Experiment experiment, track::active_experiment(tx, name.experiment_id));
  std::vector<Scorer> out;
  auto rows =
      tx.query(std::string(kSelect) + " ORDER BY v.version LIMIT ?", tx.project(), experiment.id, name.name, kListed);
  while (rows.next()) out.push_back(read(rows));
  TRY(tx.status());
  if (out.empty()) return no_scorer({name.experiment_id, name.name, std::nullopt});
  return out;
}

Result<std::vector<Scorer>> list_scorers(store::Tx& tx, const ScorerList& list) {
  if (!list.experiment_id.empty() && list.experiment_ids) {
    return invalid(
        "Cannot specify both 'experiment_id' and 'experiment_ids'. Use 'experiment_ids' to scope the query "
        "to multiple experiments, or 'experiment_id' to scope it to a single experiment.");
  }
  track::SqlText text;
  text.add(
          "SELECT s.exp, s.name, s.scorer_id, v.content, v.version, v.created_ms FROM scorers s JOIN scorer_versions v "
          "ON v.project = s.project AND v.scorer = s.id JOIN track_experiments e ON e.id = s.exp "
          "WHERE s.project = ")
      .bind(track::Value::of(tx.project()));
  text.add(
      " AND e.deleted = 0 AND v.version = (SELECT MAX(w.version) FROM scorer_versions w "
      "WHERE w.project = s.project AND w.scorer = s.id)");
  if (!list.experiment_id.empty()) {
    TRY_SET(const track::Experiment experiment, track::active_experiment(tx, list.experiment_id));
    text.add(" AND s.exp = ").bind(track::Value::of(experiment.id));
  }
  if (list.experiment_ids) {
    std::vector<int64_t> ids;
    for (const std::string& id : *list.experiment_ids) {
      TRY_SET(ids.emplace_back(), track::parse_experiment_id(id));
    }
    if (ids.empty()) return std::vector<Scorer>();
    text.add(" AND s.exp IN ").bind_list(ids);
  }
  text.add(" ORDER BY s.exp, s.name LIMIT ").bind(track::Value::of(kListed));
  std::vector<Scorer> out;
  auto rows = track::open(tx, text);
  while (rows.next()) out.push_back(read(rows));
  TRY(tx.status());
  return out;
}

}  // namespace traces
