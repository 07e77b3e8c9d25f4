// Entities as MLflow's JSON: snake_case, int64 as numbers, unset fields left out.
#pragma once

#include "base/json_writer.h"
#include "track/experiments.h"
#include "track/metrics.h"
#include "track/models.h"
#include "track/registered.h"
#include "track/runs.h"

namespace api::mlflow {

void write_tags(base::JsonWriter& json, std::string_view field, const track::Tags& tags);  // nothing when empty
void write(base::JsonWriter& json, const track::Experiment& experiment);
void write(base::JsonWriter& json, const track::RunInfo& info);
void write(base::JsonWriter& json, const track::Run& run, bool with_outputs = true);
void write(base::JsonWriter& json, const track::Metric& metric);
void write(base::JsonWriter& json, const track::Model& model);
void write(base::JsonWriter& json, const track::RegisteredModel& model);
void write(base::JsonWriter& json, const track::ModelVersion& version);

}  // namespace api::mlflow
