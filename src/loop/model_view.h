// What a person looks at before and after a promotion: models with where they serve, what judged them and what a
// promotion or a rollback would do. Reads only; the acts are promote.h's. Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "loop/evaluation.h"
#include "loop/promote.h"
#include "loop/verdict.h"
#include "store/tx.h"
#include "track/registered.h"
#include "track/search.h"

namespace loop {

struct Deployed {  // a version behind an endpoint
  std::string endpoint, environment;
  int64_t revision = 0;
  std::string model;
  int64_t version = 0;
  bool live = false;     // else the one that a rollback goes back to
  int64_t since_us = 0;  // when it went live; 0: not known
};
std::vector<Deployed> deployed(store::Tx& tx);  // live and previous of every endpoint

struct ModelSummary {
  track::RegisteredModel model;
  int64_t versions = 0;
  std::vector<Deployed> deployed;
  std::optional<Verdict> verdict;        // the newest about this model
  std::optional<Evaluation> evaluation;  // of what serves, else of the newest version
};
base::Result<track::Page<ModelSummary>> list_models(store::Tx& tx, const track::RegistrySearch& search);

struct VersionSummary {
  track::ModelVersion version;
  std::string run_name;
  std::vector<Deployed> deployed;
  std::optional<Evaluation> evaluation;  // of the gate, the newest; else any
  std::optional<Verdict> verdict;        // the newest that it was the challenger of
};
struct ModelPage {
  track::RegisteredModel model;
  int64_t count = 0;
  std::vector<VersionSummary> versions;  // newest first
  std::vector<Verdict> verdicts;         // newest first
  std::vector<Promotion> promotions;     // newest first
  std::vector<ActPreview> ready;         // what may be promoted now, one per environment
};
base::Result<ModelPage> model_page(store::Tx& tx, std::string_view name, int64_t below, size_t limit);

struct VersionPage {
  VersionSummary summary;
  std::vector<Evaluation> evaluations;  // newest first
  std::vector<Verdict> verdicts;        // where it was the challenger
  std::vector<Promotion> promotions;
  std::vector<ActPreview> ready;  // of these, to where it may be promoted now
};
base::Result<VersionPage> version_page(store::Tx& tx, std::string_view name, int64_t version);

// "name/3" of a logged model that is registered; "" if it is not.
std::string version_name_of(store::Tx& tx, std::string_view model, std::string_view logged_model);

}  // namespace loop
