// Evaluations: one model on one part of one data version, measured by the server on predictions that a worker made
// through the inference core. What is still to be measured for a pipeline run is a plan, worked off item by item:
//
//   1. every candidate (logged model of the model's stage) on the part that selects
//   2. the best of them, and the champion if there is one, on the gate's rows: the frozen test, and recent if present
//
// The plan names test rows only for the picked candidate: the frozen test never takes part in the selection. An item
// once stored is not asked for again, so a worker that is started again goes on where the first one stopped. Thread:
// functions on a Tx.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "blob/blob.h"
#include "data/data.h"
#include "loop/config.h"
#include "loop/scoring.h"
#include "store/tx.h"

namespace loop {

inline constexpr size_t kMaxCandidates = 200;

// A model as it is judged and served: which one, its files, its preparation.
struct JudgedModel {
  std::string subject;        // logged model id, else "name/version"
  std::string model_version;  // "name/3" if registered (the champion), else ""
  std::string artifact_root;
  std::string transform_digest;  // hex, or "": raw features as they are
  std::string stage;             // that trained it, if known here
  std::string run_id;            // MLflow run
};

struct Evaluation {
  std::string id;       // "ev_…"
  std::string run;      // pipeline run
  std::string purpose;  // select, gate
  std::string side;     // candidate, challenger, champion
  std::string subject;
  std::string model_version;
  std::string data_version;
  std::string part;
  std::string rows_digest;
  int64_t rows = 0;
  std::string metric;
  double value = 0, low = 0, high = 0;
  std::string summary;      // JSON
  std::string predictions;  // blob of the per-row predictions
  std::string transform;  // blob of the version's transform with what was fitted on these predictions; "": nothing was
  int64_t created_us = 0;
};

struct EvaluationTask {
  JudgedModel model;
  std::string purpose, side, part;
};

struct EvaluationPlan {
  std::string run, pipeline, cause;
  bool retraining = false;
  Config config;
  data::DataVersion data;  // what judges
  std::vector<JudgedModel> candidates;
  std::optional<JudgedModel> picked;  // once every candidate is measured
  std::optional<JudgedModel> champion;
  int64_t champion_revision = 0;  // live revision of the endpoint; 0: none
  std::vector<Evaluation> done;
  std::vector<EvaluationTask> todo;

  const Environment* environment() const { return config.environments.empty() ? nullptr : config.environments.data(); }
  bool serves_already() const { return picked && champion && picked->subject == champion->subject; }
  const Evaluation* find(std::string_view purpose, std::string_view side, std::string_view part) const;
};

base::Result<EvaluationPlan> evaluation_plan(store::Tx& tx, std::string_view run);

// Idempotent by (run, purpose, side, subject, part). `predictions` is the blob that holds scores.predictions_csv.
base::Result<Evaluation> store_evaluation(store::Tx& tx, const EvaluationPlan& plan, const EvaluationTask& task,
                                          const Scores& scores, std::string_view rows_digest,
                                          const blob::BlobInfo& predictions, std::string_view attempt,
                                          const std::optional<blob::BlobInfo>& transform = {});
base::Result<Evaluation> get_evaluation(store::Tx& tx, std::string_view id);
std::vector<Evaluation> list_evaluations(store::Tx& tx, std::string_view run,
                                         size_t limit = 500);  // run "": newest first
// Newest first, from the one after `after` ("": from the start). `subject` "": every model.
std::vector<Evaluation> evaluations_page(store::Tx& tx, std::string_view subject, std::string_view after, size_t limit);

// Of exactly these rows, newest first: what can be compared row by row.
std::vector<Evaluation> evaluations_of_rows(store::Tx& tx, std::string_view rows_digest, size_t limit = 50);

base::Result<blob::Artifact> part_file(store::Tx& tx, std::string_view data_version,
                                       std::string_view part);  // "<part>.csv"

}  // namespace loop
