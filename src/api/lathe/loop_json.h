// The loop's values as JSON. Used by loop.cc only.
#pragma once

#include "base/json_writer.h"
#include "blob/blob.h"
#include "loop/evaluation.h"
#include "loop/lineage.h"
#include "loop/promote.h"
#include "loop/retrain.h"
#include "loop/verdict.h"

namespace api::lathe {

// What a worker needs for one item of the plan: the files of the model, its transform, and the rows.
struct PlannedWork {
  loop::EvaluationTask task;
  std::vector<blob::Artifact> files;
  blob::Artifact rows;
};

void write_plan(base::JsonWriter& w, const loop::EvaluationPlan& plan, const std::vector<PlannedWork>& todo);
void write_evaluation(base::JsonWriter& w, const loop::Evaluation& evaluation, bool with_summary);
void write_verdict(base::JsonWriter& w, const loop::Verdict& verdict);
void write_promotion(base::JsonWriter& w, const loop::Promotion& promotion);
void write_retraining(base::JsonWriter& w, const loop::Retraining& retraining);
void write_lineage(base::JsonWriter& w, const loop::LineageGraph& graph);

}  // namespace api::lathe
