// Searches: runs, experiments, registered models, versions, logged models. One filter language (search_ast.h), pages by
// keyset (page_token.h). docs/design/tracking.md tells how a search of runs chooses its index.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "track/experiments.h"
#include "track/models.h"
#include "track/registered.h"
#include "track/runs.h"
#include "track/search_ast.h"
#include "track/types.h"

namespace track {

inline constexpr int64_t kMaxRunsPage = 50'000;
inline constexpr int64_t kMaxRegisteredPage = 1000;
inline constexpr int64_t kMaxVersionsPage = 200'000;
inline constexpr size_t kMaxSearchedExperiments = 10'000;

struct RunSearch {
  std::vector<std::string> experiment_ids;  // none: nothing is found
  std::string filter;
  View view = View::kActive;
  int64_t max_results = 1000;
  std::vector<std::string> order_by;  // default: start_time DESC, then run id
  std::string page_token;
  // Ours: a window anywhere in the list, and lists that stay as they were while new runs come.
  int64_t offset = 0;                // rows to leave out; a token goes before it
  std::optional<int64_t> until_row;  // only runs stored up to this row (RunInfo::row)
  std::optional<int64_t> above_row;  // only runs stored after it
};
base::Result<Page<Run>> search_runs(store::Tx& tx, const RunSearch& search);
base::Result<Page<RunInfo>> search_run_infos(store::Tx& tx, const RunSearch& search);  // without metrics, params, tags
// How many match, counted up to `most`; order, token and max_results do not matter.
base::Result<int64_t> count_runs(store::Tx& tx, const RunSearch& search, int64_t most);
// Where a filter is wrong; none where it parses.
struct FilterProblem {
  size_t at = 0;  // byte
  std::string message;
};
std::optional<FilterProblem> check_run_filter(std::string_view filter);
base::Result<Column> run_column(std::string_view text);  // a metric, parameter or tag

struct ExperimentSearch {
  std::string filter;
  View view = View::kActive;
  int64_t max_results = 0;
  std::vector<std::string> order_by;  // default: creation_time DESC, experiment_id
  std::string page_token;
};
base::Result<Page<Experiment>> search_experiments(store::Tx& tx, const ExperimentSearch& search);

struct RegistrySearch {
  std::string filter;
  int64_t max_results = 100;
  std::vector<std::string> order_by;
  std::string page_token;
};
base::Result<Page<RegisteredModel>> search_registered_models(store::Tx& tx, const RegistrySearch& search);
base::Result<Page<ModelVersion>> search_versions(store::Tx& tx, const RegistrySearch& search);

struct ModelOrder {
  std::string field;  // "creation_timestamp", "metrics.loss", …
  bool ascending = true;
  std::string dataset_name, dataset_digest;  // which of the metric's values counts
};
struct DatasetFilter {
  std::string name, digest;  // digest "": any
};
struct ModelSearch {
  std::vector<std::string> experiment_ids;
  std::string filter;
  std::vector<DatasetFilter> datasets;
  int64_t max_results = 100;
  std::vector<ModelOrder> order_by;
  std::string page_token;
};
base::Result<Page<Model>> search_models(store::Tx& tx, const ModelSearch& search);

}  // namespace track
