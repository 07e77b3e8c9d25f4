#include "s3/retry.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <string>

namespace s3 {

std::optional<int64_t> Backoff::next(int64_t elapsed_us, int64_t retry_after_us) {
  if (++failed_ >= policy_.attempts) return std::nullopt;
  const int64_t bound = std::min(policy_.cap_us, policy_.base_us << std::min(failed_ - 1, 30));
  const int64_t wait = std::max(static_cast<int64_t>(random_.next_unit() * static_cast<double>(bound)), retry_after_us);
  if (elapsed_us + wait > policy_.total_us) return std::nullopt;
  return wait;
}

std::optional<int64_t> parse_http_date(std::string_view value) {
  tm utc{};
  const std::string text(value);
  const char* end = strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return int64_t{timegm(&utc)} * 1'000'000;
}

int64_t parse_retry_after(std::string_view value, int64_t wall_us) {
  constexpr int64_t kMostSeconds = 3'600;
  int64_t seconds = 0;
  const auto [end, failed] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (failed == std::errc() && end == value.data() + value.size())
    return std::clamp<int64_t>(seconds, 0, kMostSeconds) * 1'000'000;
  const auto at_us = parse_http_date(value);
  return at_us ? std::clamp<int64_t>(*at_us - wall_us, 0, kMostSeconds * 1'000'000) : 0;
}

}  // namespace s3
