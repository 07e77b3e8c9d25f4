// Cron with IANA time zones: "minute hour day-of-month month day-of-week [Zone]", as in "0 3 * * * Europe/Paris";
// without a zone, UTC. Fields take *, numbers, a-b, a,b, */n, a-b/n; months and days also by three-letter English
// names; day 7 is Sunday. When both day fields are restricted, either may match (as in Vixie cron). @hourly, @daily,
// @weekly,
// @monthly are short for the usual.
//
// Where the local clock jumps forward, a time that does not exist fires at the first instant after the gap. Where it is
// set back, a time that comes twice fires at its first occurrence only; but with `*` or `*/n` hours each real hour
// counts. Thread: values.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace flow {

class Cron {
 public:
  static base::Result<Cron> parse(std::string_view text);
  // The first firing later than `wall_us`; nullopt if there is none within 8 years ("0 0 31 2 *").
  std::optional<int64_t> next_after(int64_t wall_us) const;
  const std::string& zone() const { return zone_; }

 private:
  bool day_matches(unsigned month, unsigned day, unsigned weekday) const;

  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;     // 1…31
  std::bitset<13> months_;   // 1…12
  std::bitset<7> weekdays_;  // 0 = Sunday
  bool any_day_ = true, any_weekday_ = true, every_hour_ = true;
  std::string zone_ = "UTC";
};

}  // namespace flow
