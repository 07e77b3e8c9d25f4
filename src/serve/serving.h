// How the model behind an endpoint is run: batches, workers, limits of time and memory, the interpreter. Two say it:
// the model itself (MLmodel's metadata `lathe.serving`, model.py's `serving`) and the endpoint (lathe.yaml's
// `endpoint`), which wins key by key. Both are one JSON object of the same grammar, read here. Thread: plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace serve {

struct BatchOptions;  // model.h

inline constexpr size_t kMaxWorkers = 64;  // of one model
inline constexpr size_t kMaxBatchRows = 100'000;
inline constexpr int64_t kMaxBatchDelayUs = 1'000'000;
inline constexpr int64_t kMinRunUs = 10'000, kMaxRunUs = 3'600'000'000;  // of one predict()
inline constexpr int64_t kMaxIdleUs = 86'400'000'000;
inline constexpr size_t kMinMemoryMb = 16, kMaxMemoryMb = size_t{1} << 20;

// Unset: whoever else says it, at last the defaults of run_limits() and batch_options().
struct ServingSettings {
  std::optional<size_t> min_workers, max_workers;
  std::optional<size_t> concurrency;  // requests that one worker runs at once; the model's own word only
  std::optional<size_t> memory_mb;    // of a worker, beyond what loading took
  std::optional<int64_t> timeout_us;  // of one predict()
  std::optional<int64_t> idle_us;     // a worker beyond min_workers without a request is ended after it
  std::optional<size_t> max_rows;     // of a batch
  std::optional<std::vector<size_t>> preferred;
  std::optional<int64_t> max_delay_us;
  std::optional<size_t> queue;  // requests that wait for a batch
  std::string python;           // environment that runs it (python_environments.h); "": the server's interpreter
  bool operator==(const ServingSettings&) const = default;
};

// {"min_workers": 1, "max_workers": 4, "memory_mb": 500, "timeout_ms": 60000, "idle_ms": 60000, "concurrency": 1,
//  "python": "env", "batch": {"max_rows": 64, "preferred": [16], "max_delay_us": 0, "queue": 256}}; "" is {}.
base::Result<ServingSettings> read_serving(std::string_view json);
std::string to_json(const ServingSettings& settings);  // "" where nothing is set
// What `over` says, else `under`.
ServingSettings merged(const ServingSettings& over, const ServingSettings& under);

// In force for a Python model, defaults filled in.
struct RunLimits {
  size_t min_workers = 1, max_workers = 2;
  size_t memory_bytes = 0;  // 0: half of what is free
  int64_t timeout_us = 60'000'000, idle_us = 60'000'000;
  bool operator==(const RunLimits&) const = default;
};
RunLimits run_limits(const ServingSettings& settings);
// Of `own`, what the model asks for, with what `settings` says differently.
BatchOptions batch_options(const ServingSettings& settings, const BatchOptions& own);

}  // namespace serve
