// Capture: what an endpoint was asked and answered, in append-only segment files per endpoint and writer, CRC-guarded,
// fsynced by time or size; the one place where an answer does not wait for the disk (what a crash can lose is bounded
// and counted). Format: docs/formats/capture.md. A prediction id ("pr_" + UUIDv7) carries writer and segment in its
// random part, so a prediction is found without an index row per request.
//
// Thread: stream(), new_id() and record() from any loop; record() copies into a ring of the calling thread and never
// waits: past the ring's end the record is dropped and counted. Readers and flush() block; any plain thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fs.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "base/result.h"

namespace serve {

struct CapturePosition {  // a point in an endpoint's capture; ordered
  int64_t segment = 0;
  int64_t offset = 0;
  auto operator<=>(const CapturePosition&) const = default;
};

// What the records of one revision have in common; registered once as a stream.
struct CaptureSource {
  int64_t project = 0;
  std::string endpoint;
  int64_t revision = 0;
  std::vector<std::string> features;  // numeric ones, in the order of a row
  std::vector<std::string> text_features;
  double sample = 1;                  // share of the requests that is written
  std::vector<std::string> redacted;  // features (and kClientId) of which nothing is written; not among the above
  std::string role;                   // "": gave the answer; "shadow": answered a copy (serve/mirror.h)
  uint64_t origin = 0;                // of a data plane's record: the place that its id names; 0: our own
  bool routed = false;                // of a graph: each record says which way it took
  auto operator<=>(const CaptureSource&) const = default;
};

// What an endpoint's capture writes, and for how long; declared in lathe.yaml.
struct CaptureRule {
  double sample = 1;
  std::vector<std::string> redact;  // by column name; kClientId: the client's own request id
  int64_t keep_us = 0;              // 0: as long as Capture::Options says
  bool operator==(const CaptureRule&) const = default;
};
inline constexpr std::string_view kClientId = "client_id";

// One answered request, borrowed from the door that answers it.
struct CaptureRecord {
  base::Uuid id{};
  std::string_view client_id;  // untrusted; cut at kMaxClientIdBytes
  int64_t at_us = 0;
  int64_t duration_us = 0;  // of the answer's computation; 0: not known
  uint32_t row_count = 0;
  std::span<const double> rows;            // row-major raw features; NaN: missing
  std::span<const std::string> texts;      // row-major text features; "": missing
  std::span<const std::string> labels;     // predicted, one per row
  std::span<const double> scores;          // highest score per row, or empty
  std::string_view route;                  // of a graph: JSON of GraphRoute
  const base::Uuid* sampled_by = nullptr;  // whose id decides whether it is written; null: its own
};

struct CapturedRequest {
  std::string id;  // "pr_…"
  std::string client_id;
  int64_t at_us = 0;
  int64_t duration_us = 0;  // of the answer's computation, at most 16.8 s; 0: not known
  int64_t project = 0;
  std::string endpoint;
  int64_t revision = 0;
  std::vector<std::string> features;  // names
  std::vector<double> rows;           // row-major raw features; NaN: missing
  std::vector<std::string> texts;     // row-major text features, when there are any; "": missing
  std::vector<std::string> text_features;
  std::vector<std::string> labels;  // predicted, one per row
  std::vector<double> scores;       // highest score per row, if any
  uint32_t row_count = 0;
  double sample = 1;                  // share of the requests that was written when it was
  std::vector<std::string> redacted;  // columns of which nothing was written
  std::string role;                   // "", or "shadow": then client_id is the id of the answer that was given
  bool routed = false;                // of a graph
  std::string route;                  // of a graph: the way it took, as JSON of GraphRoute
};

// Where the records of one source go; made by Capture::stream, lives as long as the Capture.
class CaptureStream;

class Capture {
 public:
  static constexpr size_t kMaxClientIdBytes = 256;
  static constexpr size_t kMaxFeatures = 4096;  // a source with more keeps labels and scores, not its rows

  struct Options {
    size_t ring_bytes = 4 * base::limits::kMiB;      // per recording thread (a power of two); past it: dropped, counted
    size_t record_bytes = 1 * base::limits::kMiB;    // one request; past it: dropped, counted
    size_t segment_bytes = 16 * base::limits::kMiB;  // a segment is closed past this size …
    int64_t segment_us = 3'600'000'000;              // … or age
    size_t sync_bytes = 4 * base::limits::kMiB;      // fsync past this many unsynced bytes …
    int64_t sync_us = 1'000'000;                     // … or this long after the first of them
    size_t keep_bytes = 1 * base::limits::kGiB;      // retention: oldest closed segments go first
    int64_t keep_us = int64_t{30} * 86'400'000'000;  // 30 days
    base::Path binary;                               // of `lathe`, whose child archives; empty: nothing is archived
    int64_t archive_us = 600'000'000;      // a closed segment becomes Parquet this long after its last request
    int64_t archive_look_us = 30'000'000;  // how often that is looked for
  };

  // Recovers torn tails of a former process; then starts the writer thread. The destructor drains and closes; nobody
  // may record by then.
  static base::Result<std::unique_ptr<Capture>> open(const base::Path& dir, base::Registry& metrics,
                                                     const Options& options);
  static base::Result<std::unique_ptr<Capture>> open(const base::Path& dir, base::Registry& metrics) {
    return open(dir, metrics, Options());
  }
  virtual ~Capture() = default;

  // Hot path. new_id reserves the id that the request's record will carry.
  virtual base::Uuid new_id(CaptureStream& stream, int64_t now_us) = 0;
  virtual void record(CaptureStream& stream, const CaptureRecord& record) = 0;

  // The same source and rule answer the same stream; takes a lock. `source` has all features; the rule takes some away.
  virtual CaptureStream& stream(const CaptureSource& source, const CaptureRule& rule = {}) = 0;
  virtual void flush() = 0;  // all recorded so far is readable and fsynced. Blocks

  // Records of an endpoint after `from`, oldest first, at most `limit`; `next` is where to go on.
  struct Batch {
    std::vector<CapturedRequest> requests;
    CapturePosition next;
  };
  virtual base::Result<Batch> read(int64_t project, std::string_view endpoint, CapturePosition from, size_t limit) = 0;
  // Records of an endpoint before `before`, newest first; those that `wanted` refuses are passed over. Ends after
  // `limit` of them, 32 MiB, or `most_scanned` looked at: `next` is where to go on, {0, 0} at the beginning of all.
  using Filter = std::function<bool(const CapturedRequest&)>;
  struct Newest {
    std::vector<CapturedRequest> requests;
    std::vector<CapturePosition> places;  // of each: what stands before it is older
    CapturePosition next;
    size_t scanned = 0;
  };
  static constexpr CapturePosition kNow{INT64_MAX, INT64_MAX};
  virtual base::Result<Newest> read_newest(int64_t project, std::string_view endpoint, CapturePosition before,
                                           size_t limit, size_t most_scanned, const Filter& wanted) = 0;
  // Where records from `at_us` on begin (a segment's beginning: a few older ones may come first).
  virtual CapturePosition seek(int64_t project, std::string_view endpoint, int64_t at_us) = 0;
  virtual base::Result<std::optional<CapturedRequest>> find(std::string_view id) = 0;
  // The same for many, in their order; each segment is read once. What is no prediction's id is not found.
  virtual base::Result<std::vector<std::optional<CapturedRequest>>> find(std::span<const std::string> ids) = 0;

  // Takes over what a data plane has captured: under its ids, and as it is (sampled and redacted there). Durable when
  // it answers; what is found under its id already is passed over, so the same may be handed in again. Blocks.
  virtual base::Result<void> adopt(std::span<const CapturedRequest> requests) = 0;
  virtual uint16_t writer() const = 0;                                         // our number, within our ids
  virtual std::vector<std::pair<int64_t, std::string>> endpoints() const = 0;  // (project, name) of all records

  // For tests and tools: records an owned request; fills in an empty id and answers it.
  std::string record(CapturedRequest request);
};

std::string prediction_id(const base::Uuid& id);  // "pr_…"
uint16_t writer_of(const base::Uuid& id);         // whose capture made the id
std::optional<base::Uuid> parse_prediction_id(std::string_view text);

}  // namespace serve
