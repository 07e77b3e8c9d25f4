// Guard: what a call of MLflow's API is about, and what its caller must be allowed there. One table, so that it can be
// read beside the routes: a route that is not in it is closed to callers whose rights are by experiment and model
// (base/resource_access.h). For everybody else nothing here runs.
//
// A search is not refused but narrowed: to the experiments that the caller may read, or row by row.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/mlflow/args.h"
#include "base/resource_access.h"
#include "net/http.h"
#include "store/store.h"
#include "track/registered.h"
#include "track/search.h"

namespace traces {
struct EvalDataset;
struct Issue;
struct Scorer;
struct ReviewQueue;
}  // namespace traces

namespace api::mlflow {

enum class Need : uint8_t { kRead, kEdit, kDelete, kManage };

enum class Target : uint8_t {
  kOpen,              // nothing of anybody's, or decided where it is answered
  kExperiment,        // experiment_id
  kExperimentByName,  // experiment_name
  kExperiments,       // experiment_ids: those that may be read stay
  kRun,               // run_id, and the logged models that the body names
  kRuns,              // run_ids or run_id, all of them
  kModel,             // name
  kNewVersion,        // name, and the source
  kLoggedModel,       // model_id in the path
  kArtifact,          // path in the path
  kArtifactQuery,     // path in the query
  kUpload,            // upload_id in the body
  kUploadPart,        // upload in the path
  kNewExperiment,
  kNewModel,
  kRowByRow,         // a search, whose rows are looked at one by one; and its experiment, if it names one
  kEachExperiment,   // experiment_ids: at least one, and all of them
  kNewTrace,         // the experiment in the body, and the trace if it is there already
  kTrace,            // trace_id or request_id
  kTraces,           // trace_ids, all of them
  kTraceLink,        // run_id, and trace_ids to read
  kDataset,          // dataset_id in the path: all experiments that it belongs to
  kDatasetMove,      // dataset_id in the path, and experiment_ids
  kIssue,            // issue_id in the path
  kNewIssue,         // experiment_id, and source_run_id to read
  kLabelSchema,      // schema_id
  kQueue,            // queue_id: its experiment
  kQueueSeen,        // queue_id: and the caller rules it, owns it or reviews in it
  kQueueSeenByName,  //   experiment_id and name
  kQueueOwned,       //   rules it or owns it
  kQueuePruned,      //   rules it or has made it
  kQueueReviewed,    //   reviews in it
};

struct Guard {
  net::Method method;
  std::string_view path;
  Need need;
  Target target;
  bool moves = false;  // a model's grants go with it: runs for every caller
};
const Guard* find_guard(net::Method method, std::string_view path);  // null: closed

// The caller's, if he has limits; else null.
std::shared_ptr<const base::ResourceAccess> limits_of(const net::Request& request);

// One thing that a call names, and what it does to it.
enum class Subject : uint8_t {
  kExperiment,
  kExperimentByName,
  kRun,
  kModel,
  kLoggedModel,
  kPath,
  kUpload,
  kSource,
  kTrace,
  kDataset,
  kIssue,
  kLabelSchema,
  kQueue,
  kQueueSeen,
  kQueueOwned,
  kQueuePruned,
  kQueueReviewed,
};
struct Claim {
  Subject subject;
  Need need;
  std::string id;
};

// What a call names, read from its parameters.
struct Claims {
  Target target = Target::kOpen;
  std::vector<Claim> of;
  std::string new_name;         // of a model that is renamed
  std::string queue_in, queue;  // a review queue by its experiment and name

  void add(Subject subject, Need need, std::string id) { of.push_back({subject, need, std::move(id)}); }
  void add_if(Subject subject, Need need, std::string id) {
    if (!id.empty()) add(subject, need, std::move(id));
  }
};
Claims claims_of(const Guard& guard, Args& args, const net::Request& request);

// kForbidden unless the caller may all that the claims need. What does not exist is left to the call itself.
base::Result<void> check(store::Tx& tx, const base::ResourceAccess& access, const Claims& claims);

void keep_readable(store::Tx& tx, const base::ResourceAccess& access, std::vector<std::string>& experiments);
bool may_read(store::Tx& tx, const base::ResourceAccess& access, const track::Experiment& experiment);
bool may_read(store::Tx& tx, const base::ResourceAccess& access, const track::RegisteredModel& model);
bool may_read(store::Tx& tx, const base::ResourceAccess& access, const track::ModelVersion& version);
bool may_read(store::Tx& tx, const base::ResourceAccess& access, const traces::EvalDataset& dataset);
bool may_read(store::Tx& tx, const base::ResourceAccess& access, const traces::Issue& issue);
bool may_read(store::Tx& tx, const base::ResourceAccess& access, const traces::Scorer& scorer);
bool may_read(store::Tx& tx, const base::ResourceAccess& access, const traces::ReviewQueue& queue);

// Who makes something manages it. In the transaction that made it; `made` is its id or name.
base::Result<void> own(store::Tx& tx, const base::ResourceAccess& access, Target target, std::string_view made);
inline std::string made_by(int64_t experiment) { return std::to_string(experiment); }
inline std::string made_by(const track::RegisteredModel& model) { return model.name; }

constexpr size_t kSearchRounds = 50;  // pages read for one narrowed page; past it the page is shorter

// Pages of a search until one is full of what may be read.
template <class Act, class In>
auto search_within(store::Tx& tx, const base::ResourceAccess& access, const Act& act, const In& in)
    -> decltype(act(tx, in)) {
  using Out = decltype(act(tx, in));
  In mine = in;
  Out all = act(tx, mine);
  if (!all) return all;
  const auto hidden = [&](const auto& row) { return !may_read(tx, access, row); };
  std::erase_if(all->rows, hidden);
  const int64_t wanted = in.max_results;
  for (size_t round = 1; round < kSearchRounds && !all->next_token.empty(); ++round) {
    const auto have = static_cast<int64_t>(all->rows.size());
    if (wanted <= 0 || have >= wanted) break;
    mine.page_token = all->next_token;
    mine.max_results = wanted - have;
    Out more = act(tx, mine);
    if (!more) return more;
    std::erase_if(more->rows, hidden);
    std::move(more->rows.begin(), more->rows.end(), std::back_inserter(all->rows));
    all->next_token = more->next_token;
  }
  return all;
}

// One call under its claims. `act` is the door's.
template <class Act, class In>
auto act_within(store::Tx& tx, const base::ResourceAccess& access, const Claims& claims, const Act& act, const In& in)
    -> decltype(act(tx, in)) {
  using Out = decltype(act(tx, in));
  TRY(check(tx, access, claims));
  if (claims.target == Target::kExperiments) {
    In mine = in;
    if constexpr (requires { keep_readable(tx, access, mine.experiment_ids); }) {
      keep_readable(tx, access, mine.experiment_ids);
      if (mine.experiment_ids.empty()) return Out{typename Out::value_type{}};
      return act(tx, mine);
    } else if constexpr (std::is_same_v<In, std::vector<std::string>>) {
      keep_readable(tx, access, mine);
      if (mine.empty()) return Out{typename Out::value_type{}};
      return act(tx, mine);
    } else {
      return base::fail(base::Code::kForbidden, "Permission denied");
    }
  }
  if (claims.target == Target::kRowByRow) {
    if constexpr (requires(In mine, Out out) {
                    mine.page_token, mine.max_results;
                    may_read(tx, access, out->rows.front());
                  }) {
      return search_within(tx, access, act, in);
    } else if constexpr (requires(Out out) { may_read(tx, access, out->front()); }) {
      Out all = act(tx, in);
      if (all) std::erase_if(*all, [&](const auto& row) { return !may_read(tx, access, row); });
      return all;
    } else {
      return base::fail(base::Code::kForbidden, "Permission denied");
    }
  }
  Out out = act(tx, in);
  if constexpr (requires { made_by(*out); }) {
    if (out && (claims.target == Target::kNewExperiment || claims.target == Target::kNewModel))
      TRY(own(tx, access, claims.target, made_by(*out)));
  }
  return out;
}

// A model's grants follow its new name and end with it: after the call has succeeded.
void move_grants(store::Tx& tx, const Claims& claims);

}  // namespace api::mlflow
