// What belongs to traces and to people: evaluation data sets, scorers, reviewers' questions and queues, issues,
// webhooks, users with their permissions and roles.
#include <algorithm>
#include <set>

#include "cli/import_mlflow.h"

namespace cli {
namespace {

constexpr size_t kRecordsAtOnce = 500;
constexpr int64_t kRecordBytesAtOnce = int64_t{16} << 20;

int64_t bytes_of(const traces::EvalRecord& record) {
  return static_cast<int64_t>(record.inputs.size() + record.outputs.size() + record.expectations.size() +
                              record.tags.size() + record.source.size());
}

}  // namespace

std::optional<int64_t> MlflowImport::ours(int64_t experiment) const {
  const auto found = experiments_.find(experiment);
  return found == experiments_.end() ? std::nullopt : std::optional(found->second);
}

void MlflowImport::others() {
  datasets();
  scorers();
  labels_and_queues();
  issues();
  webhooks();
}

void MlflowImport::datasets() {
  for (auto& [dataset, records] : source_.datasets()) {
    ++eval_datasets_.there;
    records_.there += records;
    std::vector<std::string> experiments;
    for (const std::string& id : dataset.experiment_ids) {
      if (const auto here = ours(std::strtoll(id.c_str(), nullptr, 10))) experiments.push_back(std::to_string(*here));
    }
    dataset.experiment_ids = std::move(experiments);
    const auto made = target_.try_ask(takeover::kDataset, dataset);
    if (!made) {
      differs("evaluation data set '" + dataset.name + "': " + made.error().message);
      continue;
    }
    const auto before = target_.ask(takeover::kRecordsHere, dataset.dataset_id);
    std::string after;
    bool more = before != records;  // else they are all here, or what is here was changed since
    while (more) {
      auto page = source_.records(dataset.dataset_id, after, kRecordsAtOnce);
      more = page.size() == kRecordsAtOnce;
      if (!page.empty()) after = page.back().record_id;
      traces::ImportedRecords part{dataset.dataset_id, {}};
      int64_t bytes = 0;
      for (size_t i = 0; i < page.size(); ++i) {
        bytes += bytes_of(page[i]);
        part.records.push_back(std::move(page[i]));
        if (bytes < kRecordBytesAtOnce && i + 1 < page.size()) continue;
        target_.ask(takeover::kRecords, part);
        part.records.clear();
        bytes = 0;
      }
    }
    const auto here = target_.ask(takeover::kRecordsHere, dataset.dataset_id);
    if (here) ++eval_datasets_.here, records_.here += *here;
    if (here != records)
      differs("evaluation data set '" + dataset.name + "' (" + dataset.dataset_id + "): " + std::to_string(records) +
              " records there and " + std::to_string(here.value_or(0)) + " here");
  }
}

void MlflowImport::scorers() {
  for (std::vector<traces::Scorer>& versions : source_.scorers()) {
    const auto experiment = ours(versions.front().experiment);
    if (!experiment) continue;  // of another workspace
    scorers_.there += static_cast<int64_t>(versions.size());
    for (traces::Scorer& version : versions) version.experiment = *experiment;
    target_.ask(takeover::kScorer, versions);
    const std::string& name = versions.front().name;
    const auto here = target_.ask(takeover::kScorerHere, {*experiment, name});
    for (const traces::Scorer& version : versions) {
      if (std::ranges::find(here, version.version) != here.end()) {
        ++scorers_.here;
      } else {
        differs("scorer '" + name + "': version " + std::to_string(version.version) + " is missing here");
      }
    }
  }
}

void MlflowImport::labels_and_queues() {
  std::map<std::string, std::string> schema_ids;  // theirs to ours
  takeover::OthersHere asked;
  for (traces::ImportedLabelSchema& from : source_.label_schemas()) {
    const auto experiment = ours(from.schema.experiment);
    if (!experiment) continue;
    ++schemas_.there;
    from.schema.experiment = *experiment;
    const auto id = target_.try_ask(takeover::kLabelSchema, from);
    if (!id) {
      differs("label schema '" + from.schema.name + "': " + id.error().message);
      continue;
    }
    schema_ids[from.schema.schema_id] = *id;
    asked.label_schemas.push_back(*id);
  }
  for (traces::ImportedReviewQueue& from : source_.review_queues()) {
    const auto experiment = ours(from.queue.experiment);
    if (!experiment) continue;
    ++queues_.there;
    from.queue.experiment = *experiment;
    for (std::string& id : from.queue.schema_ids) {
      if (const auto known = schema_ids.find(id); known != schema_ids.end()) id = known->second;
    }
    target_.ask(takeover::kReviewQueue, from);
    asked.review_queues.push_back(from.queue.queue_id);
  }
  const auto here = target_.ask(takeover::kOthersHere, asked);
  schemas_.here = static_cast<int64_t>(here.label_schemas.size());
  queues_.here = static_cast<int64_t>(here.review_queues.size());
  for (const std::string& id : asked.label_schemas) {
    if (std::ranges::find(here.label_schemas, id) == here.label_schemas.end())
      differs("label schema " + id + " is missing here: its experiment has another one of that name");
  }
  for (const std::string& id : asked.review_queues) {
    if (std::ranges::find(here.review_queues, id) == here.review_queues.end())
      differs("review queue " + id + " is missing here: its experiment has another one of that name");
  }
}

void MlflowImport::issues() {
  takeover::OthersHere asked;
  for (traces::Issue& issue : source_.issues()) {
    const auto experiment = ours(issue.experiment);
    if (!experiment) continue;
    ++issues_.there;
    issue.experiment = *experiment;
    if (const auto made = target_.try_ask(takeover::kIssue, issue); !made)
      differs("issue '" + issue.name + "': " + made.error().message);
    asked.issues.push_back(issue.issue_id);
  }
  issues_.here = static_cast<int64_t>(target_.ask(takeover::kOthersHere, asked).issues.size());
}

void MlflowImport::webhooks() {
  takeover::OthersHere asked;
  for (hooks::Hook& hook : source_.webhooks()) {
    ++hooks_.there;
    hook.active = false;
    if (const auto made = target_.try_ask(takeover::kHook, hook); !made)
      differs("webhook '" + hook.name + "': " + made.error().message);
    asked.hooks.push_back(hook.id);
  }
  hooks_.here = static_cast<int64_t>(target_.ask(takeover::kOthersHere, asked).hooks.size());
  if (hooks_.here > 0)
    notes_.push_back(
        "webhooks are inactive and without their secrets, which only the other server can read: give each "
        "its secret and set it ACTIVE here when that server sends no more");
}

void MlflowImport::users(AuthSource& auth) {
  std::set<std::string> known;
  for (const SourceUser& from : auth.users()) {
    ++users_.there;
    grants_.there += static_cast<int64_t>(from.grants.size());
    const auto made = target_.try_ask(takeover::kUser, from.user);
    if (!made) {
      differs("user '" + from.user.name + "': " + made.error().message);
      continue;
    }
    ++users_.here;
    known.insert(from.user.name);
    if (!*made) notes_.push_back("user '" + from.user.name + "' was here: password and rights as they were here");
    for (takeover::Grant grant : from.grants) {
      if (grant.kind == "experiment" && grant.resource != "*") {
        const auto here = ours(std::strtoll(grant.resource.c_str(), nullptr, 10));
        if (!here) {
          differs("user '" + from.user.name + "': his permission on experiment " + grant.resource +
                  " is of one that is not in the source");
          continue;
        }
        grant.resource = std::to_string(*here);
      }
      const auto given = target_.try_ask(takeover::kUserGrants, {from.user.name, {grant}});
      if (given) {
        ++grants_.here;
      } else {
        differs("user '" + from.user.name + "': " + given.error().message);
      }
    }
  }
  for (takeover::NewRole& role : auth.roles()) {
    ++roles_.there;
    for (takeover::Grant& grant : role.grants) {
      if (grant.kind != "experiment" || grant.resource == "*") continue;
      if (const auto here = ours(std::strtoll(grant.resource.c_str(), nullptr, 10)))
        grant.resource = std::to_string(*here);
    }
    std::erase_if(role.users, [&](const std::string& name) { return !known.contains(name); });
    const auto made = target_.try_ask(takeover::kRole, role);
    if (!made) {
      differs("role '" + role.name + "': " + made.error().message);
      continue;
    }
    ++roles_.here;
    if (!*made) notes_.push_back("role '" + role.name + "' was here and is as it was");
  }
  for (const auto& [what, count] : auth.left_out())
    notes_.push_back(std::to_string(count) + " " + what + " are not kept here");
}

}  // namespace cli
