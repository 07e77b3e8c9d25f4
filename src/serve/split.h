// How an endpoint's requests are divided among its revisions: rules for slices of them, weights (canary, A/B, bandit),
// a sticky key, and a shadow that answers copies. Plain values and one pure choice; the rows are serve/endpoint.h's,
// the snapshot serve/runtime.h's.
//
// A request's place is a hash of its key: the sticky header's value where one is sent, else the request's own id. The
// shares lie in the order live revision, then the others by number, so that a canary that grows keeps whom it had.
// Thread: pure functions, safe anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace serve {

inline constexpr uint32_t kWholeShare = 10'000;  // shares are hundredths of a percent
inline constexpr size_t kMaxTrafficParts = 16;   // revisions of one endpoint that are loaded for requests
inline constexpr size_t kMaxStickyBytes = 64;    // name of a header
inline constexpr size_t kMaxTrafficRules = 16;
inline constexpr int64_t kLeastBanditUs = 1'000'000;
inline constexpr int64_t kMostBanditUs = int64_t{86'400} * 1'000'000;

struct TrafficPart {
  int64_t revision = 0;
  uint32_t share = 0;  // 0: loaded, and reached by naming it
  auto operator<=>(const TrafficPart&) const = default;
};

// Requests for which `when` (condition.h, over headers and columns) holds go to this revision, whatever the weights.
struct TrafficRule {
  std::string when;
  int64_t revision = 0;
  auto operator<=>(const TrafficRule&) const = default;
};

// The weights follow feedback (loop/bandit.h).
struct BanditPlan {
  uint32_t floor = 500;  // share that each revision keeps
  uint64_t seed = 1;
  int64_t every_us = 60'000'000;  // between two decisions
  int64_t since_us = 0;           // feedback that counts
  auto operator<=>(const BanditPlan&) const = default;
};

// What an A/B test compares: the share of right answers, the absolute error of values (less is better), or feedback
// that is itself a reward (more is better).
enum class Outcome : uint8_t { kAccuracy, kError, kReward };
std::string_view name(Outcome outcome);
std::optional<Outcome> parse_outcome(std::string_view word);

struct TrafficPlan {
  std::vector<TrafficPart> parts;       // none: all goes to the live revision
  int64_t shadow = 0;                   // revision that answers copies; 0: none
  uint32_t shadow_share = kWholeShare;  // of the requests
  std::string sticky;                   // header in lower case; "": none
  std::vector<TrafficRule> rules;       // the first that holds
  std::optional<BanditPlan> bandit;
  Outcome outcome = Outcome::kAccuracy;
  bool operator==(const TrafficPlan&) const = default;

  bool divides() const { return !parts.empty() || shadow != 0; }
  uint32_t share_of(int64_t revision, int64_t live) const;
};

// Parts in their order, a lower-case header, and all within their bounds: shares add up to the whole, the live revision
// among them with more than nothing, the shadow none of those that answer. A revision that only rules name becomes a
// part without a share.
base::Result<TrafficPlan> checked(TrafficPlan plan, int64_t live);

// "1=90, 2=10; shadow 3 of 50 %": for people.
std::string describe(const TrafficPlan& plan, int64_t live);
// "12.5", "90": a share as a percentage, and back. Answers kInvalid past two decimals or 100.
std::string percent_text(uint32_t share);
base::Result<uint32_t> share_of_percent(double percent);

std::string to_json(const TrafficPlan& plan);  // "" for the plan that changes nothing
TrafficPlan plan_of_json(const std::string& text);

// Where a key falls: 0 … kWholeShare - 1. `salt` keeps one endpoint's choice apart from another's.
uint32_t place_of(std::string_view key, uint64_t salt);

}  // namespace serve
