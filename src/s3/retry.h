// How often, and after what wait, a request is sent again. Full jitter ("Exponential Backoff And Jitter", AWS
// Architecture Blog 2015): a random wait up to a bound that doubles. Thread: a Backoff belongs to one call.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/ids.h"

namespace s3 {

struct RetryPolicy {
  int attempts = 8;
  int64_t base_us = 100'000;
  int64_t cap_us = 10'000'000;
  int64_t total_us = 60'000'000;  // no attempt begins later than so long after the first
};

class Backoff {
 public:
  Backoff(const RetryPolicy& policy, base::Random& random) : policy_(policy), random_(random) {}
  // The wait before the next attempt; nullopt: no more. The server's own wish (0: none) is the least.
  std::optional<int64_t> next(int64_t elapsed_us, int64_t retry_after_us);
  void progressed() { failed_ = 0; }  // bytes came: the count of attempts begins again

 private:
  const RetryPolicy policy_;
  base::Random& random_;
  int failed_ = 0;
};

// Retry-After in seconds or as a date (RFC 9110 10.2.3); 0 if it is neither, or past.
int64_t parse_retry_after(std::string_view value, int64_t wall_us);
std::optional<int64_t> parse_http_date(std::string_view value);  // Sun, 06 Nov 1994 08:49:37 GMT

}  // namespace s3
