#include "api/mlflow/guard.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "api/mlflow/trace_args.h"
#include "core/resource_access.h"
#include "net/access.h"
#include "traces/datasets.h"
#include "traces/issues.h"
#include "traces/label_schemas.h"
#include "traces/review_queues.h"
#include "traces/scorers.h"
#include "track/artifact_root.h"
#include "track/experiments.h"
#include "track/models.h"
#include "track/runs.h"
#include "track/uploads.h"
#include "track/validate.h"

namespace api::mlflow {

using base::Level;
using base::ResourceAccess;
using base::Result;
using core::Resource;
using store::Tx;

namespace {

std::unexpected<base::Error> denied() { return base::fail(base::Code::kForbidden, "Permission denied"); }

Level least(Need need) {
  switch (need) {
    case Need::kRead: return Level::kRead;
    case Need::kEdit: return Level::kEdit;
    case Need::kDelete: return Level::kWrite;
    case Need::kManage: return Level::kManage;
  }
  return Level::kManage;
}

// "12" and no other spelling: what stands first in an artifact's path is a folder, not a number.
std::optional<int64_t> experiment_id(std::string_view text) {
  int64_t id = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id < 0 || std::to_string(id) != text)
    return std::nullopt;
  return id;
}

bool allows_experiment(Tx& tx, const ResourceAccess& access, int64_t id, Need need) {
  return core::allows_experiment(tx, access, id, least(need));
}

bool allows_model(Tx& tx, const ResourceAccess& access, std::string_view name, Need need) {
  return core::allows_model(tx, access, name, least(need));
}

Result<void> check_experiment(Tx& tx, const ResourceAccess& access, std::string_view text, Need need) {
  if (!text.empty() && !experiment_id(text)) return denied();
  const auto row = track::experiment_row(tx, text);  // "" and "0" are the project's Default, whatever its number
  return row && allows_experiment(tx, access, *row, need) ? Result<void>() : denied();
}

Result<void> check_run(Tx& tx, const ResourceAccess& access, std::string_view run_id, Need need) {
  const auto run = track::get_run_info(tx, run_id);
  if (!run) return {};  // the call itself says that there is none
  return allows_experiment(tx, access, run->experiment, need) ? Result<void>() : denied();
}

Result<void> check_logged_model(Tx& tx, const ResourceAccess& access, std::string_view id, Need need) {
  const auto model = track::get_model(tx, id, true);
  if (!model) return {};
  return allows_experiment(tx, access, model->info.experiment, need) ? Result<void>() : denied();
}

// The first folder of the proxied store is the experiment; what lies elsewhere is for those without limits.
Result<void> check_path(Tx& tx, const ResourceAccess& access, std::string_view path, Need need) {
  const auto id = experiment_id(path.substr(0, path.find('/')));
  return id && allows_experiment(tx, access, *id, need) ? Result<void>() : denied();
}

// A version must not be made of what its maker may not read.
Result<void> check_source(Tx& tx, const ResourceAccess& access, std::string_view source) {
  const auto after = [&](std::string_view scheme) { return source.substr(std::min(scheme.size(), source.size())); };
  if (source.starts_with("runs:/")) {
    const std::string_view rest = after("runs:/");
    return check_run(tx, access, rest.substr(0, rest.find('/')), Need::kRead);
  }
  if (source.starts_with("models:/")) {
    const std::string_view rest = after("models:/");
    const std::string_view first = rest.substr(0, rest.find_first_of("/@"));
    if (first.size() == rest.size()) return check_logged_model(tx, access, first, Need::kRead);
    return allows_model(tx, access, first, Need::kRead) ? Result<void>() : denied();
  }
  if (const auto path = track::proxied_path(source)) return check_path(tx, access, *path, Need::kRead);
  return {};
}

// Logged models that a run's call writes to: metrics and outputs name them.
std::vector<std::string> models_in_body(Args& args) {
  std::vector<std::string> out;
  const auto add_from = [&out](const base::json::object& object) {
    const auto* id = object.if_contains("model_id");
    if (id == nullptr) id = object.if_contains("modelId");
    if (id != nullptr && id->is_string() && !id->get_string().empty()) out.emplace_back(id->get_string());
  };
  add_from(args.root());
  for (const std::string_view list : {"metrics", "models"}) {
    for (const auto* object : args.objects(list)) add_from(*object);
  }
  return out;
}

// Where the parameter is read from is the route's: what another one says counts for nothing.
std::string trace_named(const Guard& guard, Args& args) {
  for (const std::string_view name : {"trace_id", "request_id"}) {
    if (std::string id = args.path_param(name); !id.empty()) return id;
  }
  return args.text(guard.path == "get-trace-artifact" ? "request_id" : "trace_id");
}

// A trace that is there already may be another experiment's: its info would be written over.
void claim_new_trace(Args& args, Claims& claims) {
  const auto* trace = args.object_in(args.root(), "trace", "");
  const auto* info = trace != nullptr ? args.object_in(*trace, "trace_info", "trace") : nullptr;
  if (info == nullptr) return claims.add(Subject::kExperiment, Need::kEdit, args.text("experiment_id"));
  traces::NewTrace named = parse_trace_info(args, *info);
  claims.add(Subject::kExperiment, Need::kEdit, std::move(named.experiment_id));
  claims.add_if(Subject::kTrace, Need::kEdit, std::move(named.trace_id));
}

// A data set is shared by its experiments: it is his who has a right to all of them. One without any is nobody's.
bool allows_dataset(Tx& tx, const ResourceAccess& access, const traces::EvalDataset& dataset, Need need) {
  return !dataset.experiment_ids.empty() && std::ranges::all_of(dataset.experiment_ids, [&](const std::string& text) {
    const auto id = experiment_id(text);
    return id && allows_experiment(tx, access, *id, need);
  });
}

Result<void> check_dataset(Tx& tx, const ResourceAccess& access, std::string_view id, Need need) {
  const auto dataset = traces::get_dataset(tx, id);
  return !dataset || allows_dataset(tx, access, *dataset, need) ? Result<void>() : denied();
}

// As upstream: a queue is looked into by its reviewers, and by its owner as long as he may edit the experiment; being
// its owner or reviewer never replaces a right to the experiment.
bool allows_queue(Tx& tx, const ResourceAccess& access, const traces::ReviewQueue& queue, const Claim& claim) {
  const auto may = [&](Need need) { return allows_experiment(tx, access, queue.experiment, need); };
  if (!may(claim.need)) return false;
  if (claim.subject == Subject::kQueue) return true;
  const std::string me = traces::reviewer_name(traces::caller(tx).value_or(""));
  const bool reviews = !me.empty() && std::ranges::find(queue.users, me) != queue.users.end();
  if (claim.subject == Subject::kQueueReviewed) return reviews;
  const bool owns = !me.empty() && may(Need::kEdit) && traces::reviewer_name(queue.created_by.value_or("")) == me;
  if (may(Need::kDelete)) return true;
  if (claim.subject == Subject::kQueueSeen) return reviews || owns;
  if (claim.subject == Subject::kQueuePruned) return owns && queue.type == traces::QueueType::kCustom;
  return owns;
}

}  // namespace

std::shared_ptr<const ResourceAccess> limits_of(const net::Request& request) {
  return request.grant != nullptr && request.grant->limited ? request.grant->resources.load() : nullptr;
}

Claims claims_of(const Guard& guard, Args& args, const net::Request& request) {
  Claims claims;
  claims.target = guard.target;
  const Need need = guard.need;
  const auto add = [&](Subject subject, std::string id) { claims.add(subject, need, std::move(id)); };
  const auto add_each = [&](Subject subject, Need each, std::vector<std::string> ids) {
    for (std::string& id : ids) claims.add(subject, each, std::move(id));
  };
  switch (guard.target) {
    case Target::kOpen:
    case Target::kExperiments:
    case Target::kNewExperiment:
    case Target::kNewModel: break;
    case Target::kRowByRow: claims.add_if(Subject::kExperiment, need, args.text("experiment_id")); break;
    case Target::kExperiment:
      add(Subject::kExperiment, args.text("experiment_id"));
      if (guard.path == "logged-models") claims.add_if(Subject::kRun, Need::kRead, args.text("source_run_id"));
      break;
    case Target::kExperimentByName:
      claims.add_if(Subject::kExperimentByName, need, args.text("experiment_name"));
      break;
    case Target::kEachExperiment: add_each(Subject::kExperiment, need, args.texts("experiment_ids")); break;
    case Target::kRun:
      add(Subject::kRun,
          guard.path == "upload-artifact" ? request.query_value("run_uuid").value_or("") : args.run_id(false));
      if (Args::in_body(request)) {
        add_each(Subject::kLoggedModel, need, models_in_body(args));
      } else if (guard.path == "artifacts/zip") {
        claims.add_if(Subject::kLoggedModel, need, args.text("model_id"));
      }
      break;
    case Target::kRuns:
      add_each(Subject::kRun, need, args.texts("run_ids"));
      add_each(Subject::kRun, need, args.texts("run_id"));
      break;
    case Target::kModel:
      add(Subject::kModel, args.text("name"));
      claims.new_name = guard.moves ? args.text("new_name") : "";
      break;
    case Target::kNewVersion:  // what it is made of is only read
      add(Subject::kModel, args.text("name"));
      claims.add_if(Subject::kSource, Need::kRead, args.text("source"));
      claims.add_if(Subject::kRun, Need::kRead, args.text("run_id"));
      claims.add_if(Subject::kLoggedModel, Need::kRead, args.text("model_id"));
      break;
    case Target::kLoggedModel: add(Subject::kLoggedModel, args.path_param("model_id")); break;
    case Target::kArtifact: add(Subject::kPath, args.path_param("path")); break;
    case Target::kArtifactQuery: add(Subject::kPath, args.text("path")); break;
    case Target::kUpload: add(Subject::kUpload, args.text("upload_id")); break;
    case Target::kUploadPart: add(Subject::kUpload, args.path_param("upload")); break;
    case Target::kNewTrace: claim_new_trace(args, claims); break;
    case Target::kTrace: add(Subject::kTrace, trace_named(guard, args)); break;
    case Target::kTraces: add_each(Subject::kTrace, need, args.texts("trace_ids")); break;
    case Target::kTraceLink:
      add(Subject::kRun, args.text("run_id"));
      add_each(Subject::kTrace, Need::kRead, args.texts("trace_ids"));
      break;
    case Target::kDatasetMove:
      add_each(Subject::kExperiment, need, args.texts("experiment_ids"));
      add(Subject::kDataset, args.path_param("dataset_id"));
      break;
    case Target::kDataset: add(Subject::kDataset, args.path_param("dataset_id")); break;
    case Target::kIssue: add(Subject::kIssue, args.path_param("issue_id")); break;
    case Target::kNewIssue:
      add(Subject::kExperiment, args.text("experiment_id"));
      claims.add_if(Subject::kRun, Need::kRead, args.text("source_run_id"));
      break;
    case Target::kLabelSchema: add(Subject::kLabelSchema, args.text("schema_id")); break;
    case Target::kQueue: add(Subject::kQueue, args.text("queue_id")); break;
    case Target::kQueueSeen: add(Subject::kQueueSeen, args.text("queue_id")); break;
    case Target::kQueueSeenByName:
      add(Subject::kExperiment, args.text("experiment_id"));
      claims.queue_in = args.text("experiment_id"), claims.queue = args.text("name");
      break;
    case Target::kQueueOwned:
      add(Subject::kQueueOwned, args.text("queue_id"));
      // Who gives a queue away must rule the experiment.
      if (args.has("new_owner")) claims.add(Subject::kQueue, Need::kDelete, args.text("queue_id"));
      break;
    case Target::kQueuePruned: add(Subject::kQueuePruned, args.text("queue_id")); break;
    case Target::kQueueReviewed: add(Subject::kQueueReviewed, args.text("queue_id")); break;
  }
  return claims;
}

namespace {

Result<void> check_claim(Tx& tx, const ResourceAccess& access, const Claim& claim) {
  switch (claim.subject) {
    case Subject::kExperiment: return check_experiment(tx, access, claim.id, claim.need);
    case Subject::kExperimentByName: {
      const auto found = track::get_experiment_by_name(tx, claim.id);
      return !found || allows_experiment(tx, access, found->id, claim.need) ? Result<void>() : denied();
    }
    case Subject::kRun: return check_run(tx, access, claim.id, claim.need);
    case Subject::kModel: return allows_model(tx, access, claim.id, claim.need) ? Result<void>() : denied();
    case Subject::kLoggedModel: return check_logged_model(tx, access, claim.id, claim.need);
    case Subject::kPath: return check_path(tx, access, claim.id, claim.need);
    case Subject::kUpload: {
      const auto upload = track::get_upload(tx, claim.id);
      return upload ? check_path(tx, access, upload->path, claim.need) : Result<void>();
    }
    case Subject::kSource: return check_source(tx, access, claim.id);
    case Subject::kTrace: {
      const auto experiment = traces::experiment_of_trace(tx, claim.id);
      return !experiment || allows_experiment(tx, access, *experiment, claim.need) ? Result<void>() : denied();
    }
    case Subject::kDataset: return check_dataset(tx, access, claim.id, claim.need);
    case Subject::kIssue: {
      const auto issue = traces::get_issue(tx, claim.id);
      return !issue || allows_experiment(tx, access, issue->experiment, claim.need) ? Result<void>() : denied();
    }
    case Subject::kLabelSchema: {
      const auto schema = traces::get_label_schema(tx, claim.id);
      return !schema || allows_experiment(tx, access, schema->experiment, claim.need) ? Result<void>() : denied();
    }
    case Subject::kQueue:
    case Subject::kQueueSeen:
    case Subject::kQueueOwned:
    case Subject::kQueuePruned:
    case Subject::kQueueReviewed: {
      const auto queue = traces::get_review_queue(tx, claim.id);
      return !queue || allows_queue(tx, access, *queue, claim) ? Result<void>() : denied();
    }
  }
  return denied();
}

}  // namespace

Result<void> check(Tx& tx, const ResourceAccess& access, const Claims& claims) {
  const bool makes = claims.target == Target::kNewExperiment || claims.target == Target::kNewModel;
  if (makes && !access.creates && access.experiments < Level::kWrite) return denied();
  if (claims.target == Target::kNewModel && !access.creates && access.models < Level::kWrite) return denied();
  if (claims.target == Target::kEachExperiment && claims.of.empty()) return denied();  // it would mean all of them
  for (const Claim& claim : claims.of) TRY(check_claim(tx, access, claim));
  if (claims.target == Target::kQueueSeenByName) {
    const auto queue = traces::get_review_queue_by_name(tx, claims.queue_in, claims.queue);
    if (queue && !allows_queue(tx, access, *queue, {Subject::kQueueSeen, Need::kRead, ""})) return denied();
  }
  return tx.status();
}

void keep_readable(Tx& tx, const ResourceAccess& access, std::vector<std::string>& experiments) {
  std::erase_if(experiments, [&](const std::string& text) {
    return !experiment_id(text) || !check_experiment(tx, access, text, Need::kRead);
  });
}

bool may_read(Tx& tx, const ResourceAccess& access, const track::Experiment& experiment) {
  return allows_experiment(tx, access, experiment.id, Need::kRead);
}
bool may_read(Tx& tx, const ResourceAccess& access, const track::RegisteredModel& model) {
  return allows_model(tx, access, model.name, Need::kRead);
}
bool may_read(Tx& tx, const ResourceAccess& access, const track::ModelVersion& version) {
  return allows_model(tx, access, version.name, Need::kRead);
}

bool may_read(Tx& tx, const ResourceAccess& access, const traces::EvalDataset& dataset) {
  const auto whole = traces::get_dataset(tx, dataset.dataset_id);  // with its experiments
  return whole && allows_dataset(tx, access, *whole, Need::kRead);
}
bool may_read(Tx& tx, const ResourceAccess& access, const traces::Issue& issue) {
  return allows_experiment(tx, access, issue.experiment, Need::kRead);
}
bool may_read(Tx& tx, const ResourceAccess& access, const traces::Scorer& scorer) {
  return allows_experiment(tx, access, scorer.experiment, Need::kRead);
}
// A list tells less than the queue itself: who may edit the experiment sees that there are others.
bool may_read(Tx& tx, const ResourceAccess& access, const traces::ReviewQueue& queue) {
  return allows_experiment(tx, access, queue.experiment, Need::kEdit) ||
         allows_queue(tx, access, queue, {Subject::kQueueSeen, Need::kRead, ""});
}

Result<void> own(Tx& tx, const ResourceAccess& access, Target target, std::string_view made) {
  const Resource kind = target == Target::kNewExperiment ? Resource::kExperiment : Resource::kModel;
  return core::put_grant(tx, access.principal, {kind, std::string(made), Level::kManage});
}

void move_grants(Tx& tx, const Claims& claims) {
  for (const Claim& claim : claims.of) {
    if (claim.subject != Subject::kModel) continue;
    const std::string& name = claim.id;
    if (claims.new_name.empty()) {
      core::drop_grants(tx, Resource::kModel, name);
    } else {
      core::move_grants(tx, Resource::kModel, name, claims.new_name);
    }
  }
}

}  // namespace api::mlflow
