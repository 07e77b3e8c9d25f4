// Takeover: what `lathe import` asks of the store that it fills, as named acts with typed questions and answers. A
// running server answers them at POST /api/lathe/v1/import/{act}; with no server running the command does them itself,
// on the same path: question and answer are packed (base/pack.h) either way.
//
// An act is one transaction, bounded by what the command puts into one question (limits in cli/import*.cc), and may be
// done twice: what is here is never changed. Acts give rows the ids, times and owners of another server, and make
// users: they are for whoever rules the server.
//
// Thread: open_act() anywhere; its run() in a job of the store.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hooks/hooks.h"
#include "store/tx.h"
#include "traces/datasets.h"
#include "traces/import.h"
#include "traces/issues.h"
#include "traces/label_schemas.h"
#include "traces/review_queues.h"
#include "traces/scorers.h"
#include "track/import.h"

namespace takeover {

template <class In, class Out>
struct Act {
  std::string_view name;
  std::string (*pack)(const In& question);
  base::Result<Out> (*unpack)(std::string_view answer);
};

struct Points {
  std::string run_id;
  std::vector<track::Metric> points;
};
struct Owners {
  std::vector<std::string> runs, models;
};
struct ModelCounts {
  int64_t params = 0, tags = 0, metrics = 0;
};
struct VersionHere {
  std::string source;
  int64_t created_ms = 0;
};
struct RegisteredHere {
  std::map<std::string, int64_t> aliases;
  std::map<int64_t, VersionHere> versions;
};
struct TraceName {
  int64_t experiment = 0;
  std::string trace_id;
};
struct TraceHere {
  std::string location;  // of its files
  std::optional<int64_t> spans, assessments;
};
struct FileHere {
  std::string path;
  int64_t size = 0;
};
struct NewFile {
  std::string root, path, sha256;  // of a blob that was uploaded
};
struct ScorerPlace {
  int64_t experiment = 0;
  std::string name;
};
struct NewUser {
  std::string name, password;  // hash; "": he cannot log in until he is given one
  bool admin = false;
};
struct Grant {
  std::string kind, resource, permission;  // as core/named_role.h has them; MLflow's words
};
struct UserGrants {
  std::string user;
  std::vector<Grant> grants;
};
struct NewRole {
  std::string name;
  std::optional<std::string> description;
  std::vector<Grant> grants;
  std::vector<std::string> users;
};

using Texts = std::vector<std::string>;
using TextMap = std::map<std::string, std::string>;

extern const Act<track::Experiment, track::ImportedExperiment> kExperiment;
extern const Act<Texts, Texts> kRunsMissing;
extern const Act<std::vector<track::ImportedRun>, int64_t> kRuns;
extern const Act<Points, int64_t> kPoints;
extern const Act<std::string, bool> kRunFinished;
extern const Act<Texts, std::vector<track::RunCounts>> kRunCounts;
extern const Act<track::Model, bool> kModel;  // whether it was made
extern const Act<Texts, std::map<std::string, ModelCounts>> kModelCounts;
extern const Act<Owners, TextMap> kArtifactUris;  // of those that are here
extern const Act<track::ImportedRegistered, int64_t> kRegistered;
extern const Act<std::string, RegisteredHere> kRegisteredHere;
extern const Act<Texts, Texts> kTracesMissing;
extern const Act<traces::ImportedTrace, bool> kTrace;
extern const Act<TraceName, TraceHere> kTraceHere;
extern const Act<std::string, std::vector<FileHere>> kFilesHere;  // of a root, by path
extern const Act<std::vector<NewFile>, int64_t> kFiles;
extern const Act<traces::EvalDataset, bool> kDataset;
extern const Act<traces::ImportedRecords, int64_t> kRecords;
extern const Act<std::string, std::optional<int64_t>> kRecordsHere;  // none: no such data set
extern const Act<std::vector<traces::Scorer>, int64_t> kScorer;
extern const Act<ScorerPlace, std::vector<int64_t>> kScorerHere;
extern const Act<traces::ImportedLabelSchema, std::string> kLabelSchema;
extern const Act<traces::ImportedReviewQueue, bool> kReviewQueue;
extern const Act<traces::Issue, bool> kIssue;
extern const Act<hooks::Hook, bool> kHook;
struct OthersHere {  // of the ids that were asked for
  Texts label_schemas, review_queues, issues, hooks;
};
extern const Act<OthersHere, OthersHere> kOthersHere;
extern const Act<NewUser, bool> kUser;              // false: there is one of that name
extern const Act<UserGrants, int64_t> kUserGrants;  // the number of those that were made
extern const Act<NewRole, bool> kRole;              // false: there is one of that name

struct OpenAct {
  bool writes = false;
  bool of_server = false;  // in the project of the server, core::kServerProject
  std::function<base::Result<std::string>(store::Tx&)> run;
};
// kNotFound: there is no such act; kInvalid: the question cannot be read.
base::Result<OpenAct> open_act(std::string_view name, std::string_view question);

}  // namespace takeover
