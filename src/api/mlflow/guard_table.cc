// The table of guard.h. A route that is not in it is closed to callers whose rights are by experiment and model:
// MLflow's webhooks (they tell of the whole project) and what makes workspaces.
#include <algorithm>

#include "api/mlflow/guard.h"

namespace api::mlflow {

using net::Method;

namespace {

constexpr Guard kGuards[] = {
    {Method::kGet, "/version", Need::kRead, Target::kOpen},
    {Method::kGet, "server-info", Need::kRead, Target::kOpen},

    {Method::kPost, "experiments/create", Need::kEdit, Target::kNewExperiment},
    {Method::kGet, "experiments/get", Need::kRead, Target::kExperiment},
    {Method::kGet, "experiments/get-by-name", Need::kRead, Target::kExperimentByName},
    {Method::kPost, "experiments/delete", Need::kDelete, Target::kExperiment},
    {Method::kPost, "experiments/restore", Need::kDelete, Target::kExperiment},
    {Method::kPost, "experiments/update", Need::kEdit, Target::kExperiment},
    {Method::kPost, "experiments/set-experiment-tag", Need::kEdit, Target::kExperiment},
    {Method::kPost, "experiments/delete-experiment-tag", Need::kEdit, Target::kExperiment},
    {Method::kPost, "experiments/search", Need::kRead, Target::kRowByRow},
    {Method::kGet, "experiments/search", Need::kRead, Target::kRowByRow},
    {Method::kPost, "experiments/search-datasets", Need::kRead, Target::kExperiments},

    {Method::kPost, "runs/create", Need::kEdit, Target::kExperiment},
    {Method::kPost, "runs/update", Need::kEdit, Target::kRun},
    {Method::kPost, "runs/delete", Need::kDelete, Target::kRun},
    {Method::kPost, "runs/restore", Need::kDelete, Target::kRun},
    {Method::kGet, "runs/get", Need::kRead, Target::kRun},
    {Method::kPost, "runs/log-metric", Need::kEdit, Target::kRun},
    {Method::kPost, "runs/log-parameter", Need::kEdit, Target::kRun},
    {Method::kPost, "runs/set-tag", Need::kEdit, Target::kRun},
    {Method::kPost, "runs/delete-tag", Need::kEdit, Target::kRun},
    {Method::kPost, "runs/log-batch", Need::kEdit, Target::kRun},
    {Method::kPost, "runs/log-inputs", Need::kEdit, Target::kRun},
    {Method::kPost, "runs/outputs", Need::kEdit, Target::kRun},
    {Method::kPost, "runs/log-model", Need::kEdit, Target::kRun},
    {Method::kPost, "runs/search", Need::kRead, Target::kExperiments},
    {Method::kGet, "metrics/get-history", Need::kRead, Target::kRun},
    {Method::kGet, "metrics/get-history-bulk", Need::kRead, Target::kRuns},
    {Method::kGet, "metrics/get-history-bulk-interval", Need::kRead, Target::kRuns},

    {Method::kPost, "registered-models/create", Need::kEdit, Target::kNewModel},
    {Method::kGet, "registered-models/get", Need::kRead, Target::kModel},
    {Method::kPost, "registered-models/rename", Need::kEdit, Target::kModel, true},
    {Method::kPatch, "registered-models/update", Need::kEdit, Target::kModel},
    {Method::kDelete, "registered-models/delete", Need::kDelete, Target::kModel, true},
    {Method::kPost, "registered-models/set-tag", Need::kEdit, Target::kModel},
    {Method::kDelete, "registered-models/delete-tag", Need::kEdit, Target::kModel},
    {Method::kGet, "registered-models/search", Need::kRead, Target::kRowByRow},
    {Method::kGet, "registered-models/get-latest-versions", Need::kRead, Target::kModel},
    {Method::kPost, "registered-models/get-latest-versions", Need::kRead, Target::kModel},
    {Method::kPost, "registered-models/alias", Need::kEdit, Target::kModel},
    {Method::kDelete, "registered-models/alias", Need::kEdit, Target::kModel},
    {Method::kGet, "registered-models/alias", Need::kRead, Target::kModel},
    {Method::kPost, "model-versions/create", Need::kEdit, Target::kNewVersion},
    {Method::kGet, "model-versions/get", Need::kRead, Target::kModel},
    {Method::kPatch, "model-versions/update", Need::kEdit, Target::kModel},
    {Method::kPost, "model-versions/transition-stage", Need::kEdit, Target::kModel},
    {Method::kDelete, "model-versions/delete", Need::kDelete, Target::kModel},
    {Method::kPost, "model-versions/set-tag", Need::kEdit, Target::kModel},
    {Method::kDelete, "model-versions/delete-tag", Need::kEdit, Target::kModel},
    {Method::kGet, "model-versions/get-download-uri", Need::kRead, Target::kModel},
    {Method::kGet, "model-versions/search", Need::kRead, Target::kRowByRow},
    {Method::kGet, "/model-versions/get-artifact", Need::kRead, Target::kModel},

    {Method::kPost, "logged-models", Need::kEdit, Target::kExperiment},
    {Method::kPost, "logged-models/search", Need::kRead, Target::kExperiments},
    {Method::kGet, "logged-models/{model_id}", Need::kRead, Target::kLoggedModel},
    {Method::kPatch, "logged-models/{model_id}", Need::kEdit, Target::kLoggedModel},
    {Method::kDelete, "logged-models/{model_id}", Need::kDelete, Target::kLoggedModel},
    {Method::kPatch, "logged-models/{model_id}/tags", Need::kEdit, Target::kLoggedModel},
    {Method::kDelete, "logged-models/{model_id}/tags/{key...}", Need::kEdit, Target::kLoggedModel},
    {Method::kPost, "logged-models/{model_id}/params", Need::kEdit, Target::kLoggedModel},
    {Method::kGet, "logged-models/{model_id}/artifacts/directories", Need::kRead, Target::kLoggedModel},
    {Method::kGet, "logged-models/{model_id}/artifacts/files", Need::kRead, Target::kLoggedModel},

    {Method::kGet, "artifacts/list", Need::kRead, Target::kRun},
    {Method::kGet, "/get-artifact", Need::kRead, Target::kRun},
    {Method::kGet, "mlflow-artifacts/artifacts", Need::kRead, Target::kArtifactQuery},
    {Method::kGet, "mlflow-artifacts/artifacts/{path...}", Need::kRead, Target::kArtifact},
    {Method::kGet, "mlflow-artifacts/presigned/{path...}", Need::kRead, Target::kArtifact},
    {Method::kPut, "mlflow-artifacts/artifacts/{path...}", Need::kEdit, Target::kArtifact},
    {Method::kDelete, "mlflow-artifacts/artifacts/{path...}", Need::kDelete, Target::kArtifact},
    {Method::kPost, "mlflow-artifacts/mpu/create/{path...}", Need::kEdit, Target::kArtifact},
    {Method::kPost, "mlflow-artifacts/mpu/complete/{path...}", Need::kEdit, Target::kArtifact},
    {Method::kPost, "mlflow-artifacts/mpu/abort/{path...}", Need::kEdit, Target::kUpload},
    {Method::kPut, "mlflow-artifacts/mpu/parts/{upload}/{part}", Need::kEdit, Target::kUploadPart},

    {Method::kGet, "artifacts/zip", Need::kRead, Target::kRun},
    {Method::kPost, "upload-artifact", Need::kEdit, Target::kRun},

    {Method::kPost, "traces", Need::kEdit, Target::kNewTrace},
    {Method::kPatch, "traces/{request_id}", Need::kEdit, Target::kTrace},
    {Method::kGet, "traces/{request_id}/info", Need::kRead, Target::kTrace},
    {Method::kGet, "traces/{trace_id}", Need::kRead, Target::kTrace},
    {Method::kGet, "traces/get", Need::kRead, Target::kTrace},
    {Method::kGet, "get-trace-artifact", Need::kRead, Target::kTrace},
    {Method::kGet, "traces", Need::kRead, Target::kExperiments},
    {Method::kPost, "traces/search", Need::kRead, Target::kExperiments},
    {Method::kPost, "traces/batchGetInfos", Need::kRead, Target::kTraces},
    {Method::kGet, "traces/batchGet", Need::kRead, Target::kTraces},
    {Method::kPost, "traces/calculate-filter-correlation", Need::kRead, Target::kEachExperiment},
    {Method::kPost, "traces/metrics", Need::kRead, Target::kEachExperiment},
    {Method::kPatch, "traces/{trace_id}/tags", Need::kEdit, Target::kTrace},
    {Method::kDelete, "traces/{trace_id}/tags", Need::kEdit, Target::kTrace},
    {Method::kPost, "traces/link-to-run", Need::kEdit, Target::kTraceLink},
    {Method::kPost, "traces/link-prompts", Need::kEdit, Target::kTrace},
    {Method::kPost, "traces/{trace_id}/assessments", Need::kEdit, Target::kTrace},
    {Method::kGet, "traces/{trace_id}/assessments/{assessment_id}", Need::kRead, Target::kTrace},
    {Method::kPatch, "traces/{trace_id}/assessments/{assessment_id}", Need::kEdit, Target::kTrace},
    {Method::kDelete, "traces/{trace_id}/assessments/{assessment_id}", Need::kEdit, Target::kTrace},

    {Method::kPost, "datasets/create", Need::kEdit, Target::kEachExperiment},
    {Method::kPost, "datasets/search", Need::kRead, Target::kRowByRow},
    {Method::kGet, "datasets/search", Need::kRead, Target::kRowByRow},
    {Method::kGet, "datasets/{dataset_id}", Need::kRead, Target::kDataset},
    {Method::kDelete, "datasets/{dataset_id}", Need::kDelete, Target::kDataset},
    {Method::kPatch, "datasets/{dataset_id}/tags", Need::kEdit, Target::kDataset},
    {Method::kDelete, "datasets/{dataset_id}/tags/{key...}", Need::kEdit, Target::kDataset},
    {Method::kGet, "datasets/{dataset_id}/records", Need::kRead, Target::kDataset},
    {Method::kPost, "datasets/{dataset_id}/records", Need::kEdit, Target::kDataset},
    {Method::kDelete, "datasets/{dataset_id}/records", Need::kEdit, Target::kDataset},
    {Method::kGet, "datasets/{dataset_id}/experiment-ids", Need::kRead, Target::kDataset},
    {Method::kPost, "datasets/{dataset_id}/add-experiments", Need::kEdit, Target::kDatasetMove},
    {Method::kPost, "datasets/{dataset_id}/remove-experiments", Need::kEdit, Target::kDataset},

    {Method::kPost, "scorers/register", Need::kEdit, Target::kExperiment},
    {Method::kGet, "scorers/list", Need::kRead, Target::kRowByRow},
    {Method::kGet, "scorers/versions", Need::kRead, Target::kExperiment},
    {Method::kGet, "scorers/get", Need::kRead, Target::kExperiment},
    {Method::kDelete, "scorers/delete", Need::kDelete, Target::kExperiment},

    {Method::kPost, "issues", Need::kEdit, Target::kNewIssue},
    {Method::kGet, "issues/{issue_id}", Need::kRead, Target::kIssue},
    {Method::kPatch, "issues/{issue_id}", Need::kEdit, Target::kIssue},
    {Method::kPost, "issues/search", Need::kRead, Target::kRowByRow},

    // The questions that reviewers are asked are made by whoever rules the experiment.
    {Method::kPost, "label-schemas/create", Need::kDelete, Target::kExperiment},
    {Method::kGet, "label-schemas/get", Need::kRead, Target::kLabelSchema},
    {Method::kGet, "label-schemas/get-by-name", Need::kRead, Target::kExperiment},
    {Method::kGet, "label-schemas/list", Need::kRead, Target::kExperiment},
    {Method::kPatch, "label-schemas/update", Need::kDelete, Target::kLabelSchema},
    {Method::kDelete, "label-schemas/delete", Need::kDelete, Target::kLabelSchema},

    {Method::kPost, "review-queues/create", Need::kEdit, Target::kExperiment},
    {Method::kPost, "review-queues/get-or-create-user", Need::kEdit, Target::kExperiment},
    {Method::kGet, "review-queues/get", Need::kRead, Target::kQueueSeen},
    {Method::kGet, "review-queues/get-by-name", Need::kRead, Target::kQueueSeenByName},
    {Method::kGet, "review-queues/list", Need::kRead, Target::kRowByRow},
    {Method::kPost, "review-queues/update", Need::kEdit, Target::kQueueOwned},
    {Method::kPost, "review-queues/delete", Need::kEdit, Target::kQueuePruned},
    {Method::kPost, "review-queues/items/add", Need::kEdit, Target::kQueue},
    {Method::kPost, "review-queues/items/remove", Need::kEdit, Target::kQueuePruned},
    {Method::kGet, "review-queues/items/list", Need::kRead, Target::kQueueSeen},
    {Method::kPost, "review-queues/items/set-status", Need::kEdit, Target::kQueueReviewed},

    // What these may is decided where they are answered: graphql.cc, auth.cc, traces.cc, otlp.cc, workspaces.cc.
    {Method::kPost, "traces/delete-traces", Need::kDelete, Target::kOpen},
    {Method::kPost, "/v1/traces", Need::kEdit, Target::kOpen},
    {Method::kGet, "workspaces", Need::kRead, Target::kOpen},
    {Method::kGet, "workspaces/{name}", Need::kRead, Target::kOpen},
    {Method::kPost, "/graphql", Need::kRead, Target::kOpen},
    {Method::kGet, "/graphql", Need::kRead, Target::kOpen},
    {Method::kGet, "users/get", Need::kRead, Target::kOpen},
    {Method::kGet, "users/current", Need::kRead, Target::kOpen},
    {Method::kPatch, "users/update-password", Need::kRead, Target::kOpen},
    {Method::kGet, "users/current/permissions", Need::kRead, Target::kOpen},
    {Method::kGet, "users/permissions/list", Need::kRead, Target::kOpen},
    {Method::kPost, "users/permissions/grant", Need::kRead, Target::kOpen},
    {Method::kPost, "users/permissions/revoke", Need::kRead, Target::kOpen},
    {Method::kGet, "users/permissions/get", Need::kRead, Target::kOpen},
    {Method::kPost, "experiments/permissions/create", Need::kRead, Target::kOpen},
    {Method::kGet, "experiments/permissions/get", Need::kRead, Target::kOpen},
    {Method::kPatch, "experiments/permissions/update", Need::kRead, Target::kOpen},
    {Method::kDelete, "experiments/permissions/delete", Need::kRead, Target::kOpen},
    {Method::kPost, "registered-models/permissions/create", Need::kRead, Target::kOpen},
    {Method::kGet, "registered-models/permissions/get", Need::kRead, Target::kOpen},
    {Method::kPatch, "registered-models/permissions/update", Need::kRead, Target::kOpen},
    {Method::kDelete, "registered-models/permissions/delete", Need::kRead, Target::kOpen},
};

}  // namespace

const Guard* find_guard(Method method, std::string_view path) {
  const auto* found =
      std::ranges::find_if(kGuards, [&](const Guard& guard) { return guard.method == method && guard.path == path; });
  return found == std::end(kGuards) ? nullptr : found;
}

}  // namespace api::mlflow
