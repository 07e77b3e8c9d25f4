// The runs of large experiments as columns in memory, for searches that no index answers: a filter or an order over a
// million runs is then a pass over arrays. Kept beside the store (store/kept.h), made column by column when a search
// first needs one.
//
// Exact: a snapshot knows what its transaction saw of the event log. Every change of a run leaves an event in its
// transaction, so a later search reads again the runs that events since then name, and no others; one whose own
// transaction is older takes an older snapshot, or reads the database.
// Memory: kRunColumnBytes for all experiments; past it the columns that were not asked for longest go.
// Thread: RunColumns is safe anywhere. A RunSnapshot is immutable; versions of it share what did not change.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/event_view.h"
#include "store/tx.h"

namespace track {

inline constexpr size_t kRunColumnBytes = size_t{256} << 20;
inline constexpr size_t kChunkRuns = 4096;  // copied when one of them changes

enum class ColumnKind : uint8_t { kMetric, kLeast, kGreatest, kParam, kTag, kEndTime, kName, kStatus, kUser, kUri };
struct ColumnKey {
  ColumnKind kind = ColumnKind::kMetric;
  int64_t key_id = 0;  // of track_keys: metrics, params and tags
  auto operator<=>(const ColumnKey&) const = default;
  bool is_number() const { return kind <= ColumnKind::kGreatest; }
  bool is_integer() const { return kind == ColumnKind::kEndTime; }
};

enum ValueFlag : uint8_t {
  kHere = 0,
  kNotANumber = 1,  // of a metric's latest value; the number beside it is 0, as it is stored
  kNone = 2         // a name keeps its text: somebody deleted the tag mlflow.runName
};

struct ColumnChunk {  // the values of up to kChunkRuns runs; numbers, integers or texts
  std::vector<uint8_t> flags;
  std::vector<double> numbers;
  std::vector<int64_t> integers;
  std::vector<uint32_t> ends;  // of each text in `texts`
  std::string texts;

  std::string_view text(size_t i) const {
    const uint32_t from = i == 0 ? 0 : ends[i - 1];
    return {texts.data() + from, ends[i] - from};
  }
};
using ColumnChunks = std::vector<std::shared_ptr<const ColumnChunk>>;

using RunIdBits = std::array<uint64_t, 2>;  // 32 hex digits; ordered as their text
std::optional<RunIdBits> run_id_bits(std::string_view text);
std::string run_id_text(const RunIdBits& bits);

enum RunState : uint8_t { kActiveRun = 0, kDeletedRun = 1, kGoneRun = 2 };  // gone: moved away or purged

struct RunChunk {
  std::vector<int64_t> rows;  // ascending, over all chunks
  std::vector<RunIdBits> ids;
  std::vector<int64_t> starts_ms;
  std::vector<uint8_t> states;
};

struct RunSnapshot {  // of one experiment
  core::EventView view;
  size_t size = 0;
  std::vector<std::shared_ptr<const RunChunk>> runs;
  std::map<ColumnKey, ColumnChunks> columns;
  size_t bytes = 0;

  const ColumnChunks* find(const ColumnKey& key) const {
    const auto it = columns.find(key);
    return it == columns.end() ? nullptr : &it->second;
  }
};
using RunSnapshotPtr = std::shared_ptr<const RunSnapshot>;

class RunColumns {
 public:
  // The experiment as tx sees it, with the columns that are asked for. Null where it is not kept so: it is too large,
  // or only later states are known. `may_load`: also what takes reading the whole experiment.
  base::Result<RunSnapshotPtr> get(store::Tx& tx, int64_t experiment, std::span<const ColumnKey> keys, bool may_load);

 private:
  struct Experiment {
    std::mutex loading;                   // one reads the whole of it, others wait for that
    std::deque<RunSnapshotPtr> versions;  // newest last; guarded by mutex_, as the rest
    int64_t used_us = 0;
    int64_t refused_us = 0;  // when it was found to be too large
  };
  using ExperimentPtr = std::shared_ptr<Experiment>;

  ExperimentPtr experiment(int64_t project, int64_t id, int64_t now_us);
  RunSnapshotPtr newest_before(Experiment& of, const core::EventView& view);
  bool is_outrun(Experiment& of, const core::EventView& view);
  void publish(const ExperimentPtr& of, const RunSnapshotPtr& snapshot);
  base::Result<RunSnapshotPtr> load(store::Tx& tx, int64_t id, const core::EventView& view, RunSnapshotPtr base,
                                    std::span<const ColumnKey> keys);

  std::mutex mutex_;
  std::map<std::pair<int64_t, int64_t>, ExperimentPtr> experiments_;  // by project and experiment
};

}  // namespace track
