// Capture: what an endpoint was asked and answered, in append-only segment files per writer, CRC-guarded, fsynced by time
// or size; the one place where an answer does not wait for the disk (what a crash can lose is bounded and counted).
// Format: docs/formats/capture.md. A prediction id ("pr_" + UUIDv7) carries writer and segment in its random part, so a
// prediction is found without an index row per request.
//
// Thread: record() from any loop: a bounded queue with a counted drop, no lock that waits. Readers anywhere.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace serve {

struct CapturePosition {   // a point in an endpoint's capture; ordered
  int64_t segment = 0;
  int64_t offset = 0;
  auto operator<=>(const CapturePosition&) const = default;
};

struct CapturedRequest {
  std::string id;            // "pr_…"
  std::string client_id;     // the client's own request id, untrusted
  int64_t at_us = 0;
  int64_t project = 0;
  std::string endpoint;
  int64_t revision = 0;
  std::vector<std::string> features;   // names
  std::vector<double> rows;            // row-major raw features; NaN: missing (text features: texts)
  std::vector<std::string> texts;      // row-major text features, when there are any (names in text_features)
  std::vector<std::string> text_features;
  std::vector<std::string> labels;     // predicted, one per row
  std::vector<double> scores;          // highest score per row, if any
  uint32_t row_count = 0;
};

class Capture {
 public:
  virtual ~Capture() = default;

  // Reserves the id that a request's capture record will carry. Hot path.
  virtual std::string new_id(int64_t now_us) = 0;
  virtual void record(CapturedRequest request) = 0;   // hot path: queued or dropped and counted
  virtual void flush() = 0;                           // all recorded so far is readable (and fsynced). Blocks

  // Records of an endpoint after `from`, oldest first, at most `limit`; `next` is where to go on.
  struct Batch { std::vector<CapturedRequest> requests; CapturePosition next; };
  virtual base::Result<Batch> read(int64_t project, std::string_view endpoint, CapturePosition from, size_t limit) = 0;
  virtual base::Result<std::optional<CapturedRequest>> find(std::string_view id) = 0;
};

}  // namespace serve
