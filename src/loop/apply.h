// apply: lathe.yaml and its bundle become definitions: pipeline, endpoints, monitors, and (unless told otherwise) a
// run. One transaction, idempotent; a dry run answers the same without writing.
//
// Each apply that changes something is kept (generation 1, 2, …) with the texts it was parsed from, so that a run is
// judged by the configuration of its own bundle, whatever was applied since. Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "flow/flow.h"
#include "loop/config.h"
#include "store/tx.h"

namespace loop {

struct Applied {
  std::string pipeline;
  int64_t generation = 0;
  std::string bundle;
  std::string file;                          // "lathe.yaml"
  std::string text;                          // its text
  std::map<std::string, std::string> texts;  // what else the grammar read
  int64_t applied_us = 0;
};
base::Result<std::optional<Applied>> current_applied(store::Tx& tx, std::string_view pipeline);
// The configuration that a run of this pipeline and bundle goes by; kNotFound if it was never applied.
base::Result<Applied> applied_of(store::Tx& tx, std::string_view pipeline, std::string_view bundle);
std::vector<Applied> list_applied(store::Tx& tx);  // the current one of every pipeline
base::Result<Config> config_of(const Applied& applied);

struct EndpointOwner {
  std::string endpoint, pipeline, environment;
};
base::Result<std::optional<EndpointOwner>> owner_of(store::Tx& tx, std::string_view endpoint);

// The user's stages framed by Lathe's own: prepare:<data> → stages → evaluate → gate → promote.
flow::PipelineSpec build_pipeline(const Config& config);

struct Change {
  std::string what;  // "gate.confidence", "stage train@logreg", "file train.py"
  std::string from;  // "" : new
  std::string to;    // "" : gone
};

struct ApplyRequest {
  std::string bundle;
  std::string file;
  bool dry_run = false;
  bool start_run = true;
  std::string artifact_root;  // of the experiment, if it is made; "": ours
};

struct ApplyOutcome {
  std::string pipeline;
  int64_t generation = 0;  // of what is in force afterwards; 0: a dry run of the first apply
  bool first = false;
  std::vector<Change> changes;
  std::vector<Setting> settings;
  std::string run;  // "" if none was started
};

// `text` and `texts` are the bundle's own files, read before the transaction; `config` is what they parse to.
base::Result<ApplyOutcome> apply(store::Tx& tx, const ApplyRequest& request, const Config& config,
                                 const std::string& text, const std::map<std::string, std::string>& texts);

}  // namespace loop
