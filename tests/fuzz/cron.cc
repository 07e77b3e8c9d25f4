// Schedules and durations: parsing, and the next firing from any instant.
#include "flow/cron.h"

#include <cstring>

#include "fuzz.h"
#include "loop/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  uint32_t minutes = 0;
  const std::string_view when = input.take(sizeof minutes);
  std::memcpy(&minutes, when.data(), when.size());
  const int64_t now_us = int64_t{minutes} * 60'000'000 / 64;  // 1970 to 2098
  const std::string_view text = input.rest();
  if (const auto cron = flow::Cron::parse(text)) {
    if (const auto next = cron->next_after(now_us)) {
      REQUIRE(*next > now_us);
      const auto after = cron->next_after(*next);
      REQUIRE(!after || *after > *next);
    }
  }
  if (const auto us = loop::parse_duration_us(text)) {
    REQUIRE(*us >= 0);
    REQUIRE(loop::parse_duration_us(loop::format_duration(*us)) == us);
  }
  return 0;
}
