#include "track/inputs.h"

#include <algorithm>
#include <bit>

#include "core/event.h"
#include "core/lineage.h"
#include "track/experiments.h"
#include "track/models.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

Result<void> check_input(const DatasetInput& input) {
  TRY(check_length("name", kMaxDatasetName, input.dataset.name));
  TRY(check_length("digest", kMaxDatasetDigest, input.dataset.digest));
  TRY(check_length("source", kMaxDatasetSource, input.dataset.source));
  if (input.dataset.schema) TRY(check_length("schema", kMaxDatasetSchema, *input.dataset.schema));
  if (input.dataset.profile) TRY(check_length("profile", kMaxDatasetProfile, *input.dataset.profile));
  for (const Tag& tag : input.tags) {
    TRY(check_length("key", kMaxInputTagKey, tag.key));
    TRY(check_length("value", kMaxInputTagValue, tag.value));
  }
  return {};
}

int64_t dataset_row(store::Tx& tx, int64_t exp, const Dataset& dataset) {
  const auto made = tx.query_i64(
      "INSERT INTO track_datasets (project, exp, name, digest, source_type, source, schema_text, profile) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
      tx.project(), exp, dataset.name, dataset.digest, dataset.source_type, dataset.source, dataset.schema,
      dataset.profile);
  if (made) return *made;
  return tx
      .query_i64("SELECT id FROM track_datasets WHERE project = ? AND exp = ? AND name = ? AND digest = ?",
                 tx.project(), exp, dataset.name, dataset.digest)
      .value_or(0);
}

}  // namespace

Result<void> log_inputs(store::Tx& tx, const RunInputs& inputs) {
  TRY(check_run_id(inputs.run_id));
  for (const DatasetInput& input : inputs.datasets) TRY(check_input(input));
  TRY_SET(const RunInfo run, active_run(tx, inputs.run_id));
  for (const DatasetInput& input : inputs.datasets) {
    const auto link = tx.query_i64(
        "INSERT INTO track_inputs (project, run, dataset) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
        tx.project(), run.row, dataset_row(tx, run.experiment, input.dataset));
    if (!link) continue;  // this run has that dataset already: its first tags stay
    for (const Tag& tag : input.tags) {
      tx.exec(
          "INSERT INTO track_input_tags (project, input, key, value) VALUES (?, ?, ?, ?) "
          "ON CONFLICT (project, input, key) DO UPDATE SET value = excluded.value",
          tx.project(), *link, tag.key, tag.value);
    }
  }
  for (const std::string& model : inputs.models) {
    tx.exec(
        "INSERT INTO track_run_models (project, run, is_output, model_id, step) VALUES (?, ?, 0, ?, 0) "
        "ON CONFLICT DO NOTHING",
        tx.project(), run.row, model);
    core::add_edge(tx, {"logged_model", model}, {"run", run.run_id}, "input");
  }
  core::emit(tx, "run.inputs_logged", "run", run.run_id);
  return {};
}

Result<void> log_outputs(store::Tx& tx, const RunOutputs& outputs) {
  TRY_SET(const RunInfo run, active_run(tx, outputs.run_id));
  for (const ModelOutput& model : outputs.models) {
    // A model is an output once; its first step stays.
    if (tx.query_i64("SELECT 1 FROM track_run_models WHERE project = ? AND run = ? AND is_output = 1 AND model_id = ?",
                     tx.project(), run.row, model.model_id)) {
      continue;
    }
    tx.exec(
        "INSERT INTO track_run_models (project, run, is_output, model_id, step) VALUES (?, ?, 1, ?, ?) "
        "ON CONFLICT DO NOTHING",
        tx.project(), run.row, model.model_id, model.step);
    core::add_edge(tx, {"run", run.run_id}, {"logged_model", model.model_id}, "produced");
  }
  core::emit(tx, "run.outputs_logged", "run", run.run_id);
  return {};
}

void RunsByRow::each(store::Tx& tx, std::string_view before, std::string_view after,
                     const std::function<void(Run&, store::Rows&)>& read) const {
  for (size_t first = 0; first < rows_.size(); first += kRunsAtOnce) {
    const size_t count = std::min(kRunsAtOnce, rows_.size() - first);
    std::vector<store::Param> params = {tx.project()};
    for (size_t i = 0; i < std::bit_ceil(count); ++i) params.emplace_back(rows_[first + std::min(i, count - 1)]);
    std::string sql(before);
    for (size_t i = 1; i < params.size(); ++i) sql += i == 1 ? "(?" : ", ?";
    auto rows = tx.open(sql.append(")").append(after), params);
    while (rows.next()) read(*runs_.at(rows.i64(0)), rows);
  }
}

void load_run_inputs(store::Tx& tx, const RunsByRow& runs) {
  std::vector<std::pair<int64_t, std::pair<Run*, size_t>>> links;
  runs.each(
      tx,
      "SELECT i.run, i.id, d.name, d.digest, d.source_type, d.source, d.schema_text, d.profile FROM track_inputs i "
      "JOIN track_datasets d ON d.id = i.dataset WHERE i.project = ? AND i.run IN ",
      " ORDER BY i.run, i.id", [&](Run& run, store::Rows& rows) {
        links.push_back({rows.i64(1), {&run, run.datasets.size()}});
        Dataset& dataset = run.datasets.emplace_back().dataset;
        dataset.name = rows.str(2);
        dataset.digest = rows.str(3);
        dataset.source_type = rows.str(4);
        dataset.source = rows.str(5);
        dataset.schema = rows.opt_str(6);
        dataset.profile = rows.opt_str(7);
      });
  for (const auto& [link, place] : links) {
    auto rows = tx.query("SELECT key, value FROM track_input_tags WHERE project = ? AND input = ? ORDER BY key",
                         tx.project(), link);
    while (rows.next()) place.first->datasets[place.second].tags.push_back({rows.str(0), rows.str(1)});
  }
  runs.each(tx, "SELECT run, is_output, model_id, step FROM track_run_models WHERE project = ? AND run IN ",
            " ORDER BY run, is_output, model_id, step", [](Run& run, store::Rows& rows) {
              if (rows.boolean(1)) {
                run.model_outputs.push_back({rows.str(2), rows.i64(3)});
              } else {
                run.model_inputs.push_back(rows.str(2));
              }
            });
}

Result<std::vector<DatasetSummary>> search_datasets(store::Tx& tx, const std::vector<std::string>& experiment_ids) {
  constexpr size_t kMaxSummaries = 1000;
  std::vector<DatasetSummary> out;
  std::vector<int64_t> seen;
  for (const std::string& text : experiment_ids) {
    TRY_SET(const int64_t exp, experiment_row(tx, text));
    if (std::ranges::find(seen, exp) != seen.end()) continue;
    seen.push_back(exp);
    auto rows = tx.query(
        "SELECT DISTINCT d.name, d.digest, COALESCE(t.value, '') FROM track_datasets d "
        "JOIN track_inputs i ON i.project = d.project AND i.dataset = d.id "
        "LEFT JOIN track_input_tags t ON t.project = i.project AND t.input = i.id AND t.key = 'mlflow.data.context' "
        "WHERE d.project = ? AND d.exp = ? ORDER BY d.name, d.digest LIMIT 1000",
        tx.project(), exp);
    while (rows.next() && out.size() < kMaxSummaries) out.push_back({exp, rows.str(0), rows.str(1), rows.str(2)});
  }
  return out;
}

}  // namespace track
