// dvc.yaml's stage grammar, read from YAML nodes: from an existing dvc.yaml, or from `stages:` of lathe.yaml.
//
// Understood: stages with cmd (text or list), wdir, deps, params, outs, metrics, plots, desc, meta, frozen,
// always_changed, vars; `${a.b[0]}` interpolation (escape `\${`); foreach + do; matrix (names `stage@v1-v2`); and
// Lathe's own additions to a stage: tune, retries, retry_delay, timeout, memory, cpus, env. A dep that names a data set
// ("digits", or "digits:raw") is a DataDep, not a file. Edges follow from deps that are outs of other stages.
//
// Every error names file, line, key, what was found and what is allowed. Thread: plain values.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/yaml.h"
#include "flow/flow.h"

namespace flow {

struct DvcInput {
  std::string file;                 // name in errors: "lathe.yaml"
  std::set<std::string> data_sets;  // declared in lathe.yaml
  std::map<std::string, std::string>
      files;  // path → text of YAML and JSON parameter files beside it ("params.yaml", …)
};

// `root` is the whole document: a map with `stages`, and perhaps `vars` and `params`; other keys are the caller's to
// judge. Answers a PipelineSpec whose stages are expanded and whose `after` is filled; its name is left empty.
base::Result<PipelineSpec> parse_stages(const base::yaml::Node& root, const DvcInput& input);

// Keys that parse_stages reads at the top level of a document.
inline constexpr std::string_view kDvcTopKeys[] = {"stages", "vars",      "params",  "metrics",
                                                   "plots",  "artifacts", "datasets"};

}  // namespace flow
