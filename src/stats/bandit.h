// Thompson sampling for arms that are right or wrong: each arm's rate has a Beta(1 + successes, 1 + failures)
// posterior (Beta-Bernoulli, uniform prior), and an arm's share of the traffic is the probability that its rate is the
// highest (Thompson 1933; for weights that hold for a while: Scott 2010, "A modern Bayesian look at the multi-armed
// bandit"). Pure and seeded: the same counts and seed give the same shares on every machine. Thread: safe anywhere.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "stats/compare.h"

namespace stats {

inline constexpr int kBanditDraws = 4000;  // the shares' standard error is below 0.8 points

// P(arm is the best) by `draws` seeded draws of all posteriors; they add up to 1.
std::vector<double> thompson_shares(std::span<const Share> arms, uint64_t seed, int draws = kBanditDraws);

// Shares of `whole` parts that add up to it, none below `floor`: what is above the floors is divided as `shares` say.
// Needs shares.size() · floor <= whole.
std::vector<uint32_t> parts_with_floor(std::span<const double> shares, uint32_t whole, uint32_t floor);

}  // namespace stats
