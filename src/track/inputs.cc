#include "track/inputs.h"

#include <algorithm>

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

void load_run_inputs(store::Tx& tx, Run& run) {
  std::vector<int64_t> links;
  {
    auto rows = tx.query(
        "SELECT i.id, d.name, d.digest, d.source_type, d.source, d.schema_text, d.profile FROM track_inputs i "
        "JOIN track_datasets d ON d.id = i.dataset WHERE i.project = ? AND i.run = ? ORDER BY i.id",
        tx.project(), run.info.row);
    while (rows.next()) {
      links.push_back(rows.i64(0));
      Dataset& dataset = run.datasets.emplace_back().dataset;
      dataset.name = rows.str(1);
      dataset.digest = rows.str(2);
      dataset.source_type = rows.str(3);
      dataset.source = rows.str(4);
      dataset.schema = rows.opt_str(5);
      dataset.profile = rows.opt_str(6);
    }
  }
  for (size_t i = 0; i < links.size(); ++i) {
    auto rows = tx.query("SELECT key, value FROM track_input_tags WHERE project = ? AND input = ? ORDER BY key",
                         tx.project(), links[i]);
    while (rows.next()) run.datasets[i].tags.push_back({rows.str(0), rows.str(1)});
  }
  auto rows = tx.query(
      "SELECT is_output, model_id, step FROM track_run_models WHERE project = ? AND run = ? "
      "ORDER BY is_output, model_id, step",
      tx.project(), run.info.row);
  while (rows.next()) {
    if (rows.boolean(0)) {
      run.model_outputs.push_back({rows.str(1), rows.i64(2)});
    } else {
      run.model_inputs.push_back(rows.str(1));
    }
  }
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
