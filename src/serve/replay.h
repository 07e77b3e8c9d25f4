// Replay: captured requests once more, through another revision or the same one, and what differs. Models run in a
// child of the same binary (`lathe child replay`), never in the server. The same version gives the same bytes: labels
// as text, scores bit by bit; where it does not, the report says which.
//
// A record can be replayed when its rows were kept whole: not redacted, not past Capture::kMaxFeatures.
// Thread: safe anywhere; replay() blocks for as long as the child runs.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "serve/capture.h"
#include "serve/runtime.h"

namespace serve {

inline constexpr size_t kMaxReplayRequests = 10'000;
inline constexpr size_t kMaxReplayBytes = size_t{64} << 20;  // of captured rows handed to the child
inline constexpr size_t kMaxReplayShown = 200;               // differing rows that are told one by one

struct ReplayRow {
  std::string id;
  int64_t row = 0;
  std::string was, now;  // labels
  std::optional<double> was_score, now_score;
  std::string detail;  // of a bit that differs: "score byte 0 is 9a, was 9b"
};

struct ReplayReport {
  int64_t requests = 0, rows = 0;          // replayed
  int64_t identical = 0;                   // requests whose every label and score is the same, to the bit
  int64_t changed = 0;                     // rows with another label
  int64_t scored = 0;                      // rows whose scores could be compared
  double score_difference = 0, most = 0;   // mean and largest absolute difference of these
  std::map<std::string, int64_t> skipped;  // requests that could not be, by reason
  std::vector<ReplayRow> differing;        // rows with another label or score, the first kMaxReplayShown
};

// Replays `requests` (primary records) with `target`'s model.
base::Result<ReplayReport> replay(Runtime& runtime, const base::Path& self, int64_t project, const Revision& target,
                                  const std::vector<CapturedRequest>& requests);

// The child's side; answers the process's exit code. Requests come in `in`, answers go to `out`, as capture frames.
int run_replay(const base::Path& folder, const base::Path& transform, const base::Path& in, const base::Path& out);
// The same with a graph's models (replay_graph.h).
int run_replay_graph(const base::Path& plan, const base::Path& in, const base::Path& out);

// Two answers to the same request.
void compare_replayed(ReplayReport& report, const CapturedRequest& was, const CapturedRequest& now);

}  // namespace serve
