// Scorers of an experiment: judges of traces, kept as the text that the client makes of them, in numbered versions. The
// server never runs one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace traces {

inline constexpr size_t kScorerBytes = size_t{4} << 20;
inline constexpr size_t kScorerNameChars = 256;

struct Scorer {
  int64_t experiment = 0;
  std::string name, scorer_id, content;
  int64_t version = 0;
  int64_t created_ms = 0;
};

struct NewScorer {
  std::string experiment_id, name, content;
};
struct ScorerName {
  std::string experiment_id, name;
  std::optional<int64_t> version;  // none: the newest; of a deletion: all
};
base::Result<Scorer> register_scorer(store::Tx& tx, const NewScorer& scorer);
base::Result<Scorer> get_scorer(store::Tx& tx, const ScorerName& name);
base::Result<void> delete_scorer(store::Tx& tx, const ScorerName& name);
base::Result<std::vector<Scorer>> scorer_versions(store::Tx& tx, const ScorerName& name);

// A scorer with all its versions, oldest first, as another server has them. Versions that are here stay as they are;
// the number of those that were made.
base::Result<int64_t> import_scorer(store::Tx& tx, const std::vector<Scorer>& versions);
// Versions of a scorer that are here, of a deleted experiment too.
base::Result<std::vector<int64_t>> scorer_version_numbers(store::Tx& tx, int64_t experiment, std::string_view name);

struct ScorerList {
  std::string experiment_id;  // "": those of experiment_ids, or of all active ones
  std::optional<std::vector<std::string>> experiment_ids;
};
base::Result<std::vector<Scorer>> list_scorers(store::Tx& tx, const ScorerList& list);  // the newest of each

}  // namespace traces
