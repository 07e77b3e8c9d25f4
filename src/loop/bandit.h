// The bandit: weights of an endpoint's traffic that follow feedback, by Thompson sampling (stats/bandit.h). Opt-in, in
// the traffic plan. A request's place is still the hash of its sticky key, so between two decisions a key stays where
// it is; a decision moves only the borders between the revisions.
//
// Every decision is a row in `loop_bandits` with the counts, the seed and the shares that it came from, so that it can
// be computed again; it is made in the transaction that changes the weights. A decision is due when `every` has passed
// and there is feedback that the last one did not know. Thread: look() from one thread that may block (the roller's);
// the rest are functions on a Tx.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "serve/runtime.h"
#include "store/store.h"

namespace loop {

inline constexpr int64_t kKeptBanditDecisions = 1000;  // of an endpoint; the oldest go

struct BanditDecision {
  int64_t at_us = 0;
  int64_t generation = 0;  // of the endpoint, after it
  std::string body;        // {"seed", "arms": [{"revision", "labelled", "correct", "share", "weight"}]}
};
std::vector<BanditDecision> list_bandit_decisions(store::Tx& tx, std::string_view endpoint, size_t limit = 20);

// One look at every endpoint whose weights follow feedback; answers how many there are.
size_t look_at_bandits(store::Store& store, serve::Runtime& runtime, const base::Clock& clock);

}  // namespace loop
