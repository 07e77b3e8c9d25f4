// Permanent deletion: what was deleted stays for a grace period and then goes for good, with all that hangs on it, as
// `mlflow gc` does. One step removes little, so that it never keeps writers waiting; the caller repeats it.
// Files of a registered model version stay with the version. Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace track {

inline constexpr int64_t kPurgeStep = 20;          // runs, models or experiments of one step
inline constexpr size_t kMaxPurgedNames = 10'000;  // ids of one request

struct Purge {
  int64_t deleted_before_ms = 0;
  std::vector<std::string> run_ids;         // of these only; none, and no experiment: everything that is old enough
  std::vector<std::string> experiment_ids;  // of the deleted ones among these
};
struct Purged {
  int64_t runs = 0, models = 0, experiments = 0, files = 0;
  bool more = false;                 // there may be more to do
  std::vector<std::string> folders;  // paths of our own store whose files went; plain copies of them are the caller's
};
// kInvalid for a named run or experiment that is not deleted, kNotFound for one that is not there.
base::Result<void> check_purge(store::Tx& tx, const Purge& purge);
base::Result<Purged> purge_step(store::Tx& tx, const Purge& purge);

}  // namespace track
