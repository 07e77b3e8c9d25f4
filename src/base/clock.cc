#include "base/clock.h"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <ctime>

namespace base {
namespace {

class SystemClock final : public Clock {
 public:
  int64_t wall_us() const override { return read(CLOCK_REALTIME); }
  int64_t mono_us() const override { return read(CLOCK_MONOTONIC); }

 private:
  static int64_t read(clockid_t id) {
    timespec t;
    clock_gettime(id, &t);
    return int64_t{t.tv_sec} * 1'000'000 + t.tv_nsec / 1000;
  }
};

// Reads exactly `width` digits at `at`; -1 if they are not there.
int digits(std::string_view text, size_t at, size_t width) {
  if (at + width > text.size()) return -1;
  int value = 0;
  const char* begin = text.data() + at;
  auto [end, error] = std::from_chars(begin, begin + width, value);
  return error == std::errc{} && end == begin + width && *begin != '-' ? value : -1;
}

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

std::string format_iso8601(int64_t wall_us) {
  using namespace std::chrono;
  const sys_time<microseconds> point{microseconds(wall_us)};
  const auto day = floor<days>(point);
  const year_month_day date(day);
  const hh_mm_ss time(point - day);
  char out[40];
  std::snprintf(out, sizeof out, "%04d-%02u-%02uT%02d:%02d:%02d.%06dZ", int(date.year()), unsigned(date.month()),
                unsigned(date.day()), int(time.hours().count()), int(time.minutes().count()),
                int(time.seconds().count()), int(time.subseconds().count()));
  return out;
}

Result<int64_t> parse_iso8601(std::string_view text) {
  using namespace std::chrono;
  const auto bad = [&] {
    return invalid("'" + std::string(text) + "' is not a time; write it as 2026-11-24T23:19:57Z or with +hh:mm");
  };
  const int y = digits(text, 0, 4), mo = digits(text, 5, 2), d = digits(text, 8, 2);
  const int h = digits(text, 11, 2), mi = digits(text, 14, 2), s = digits(text, 17, 2);
  if (y < 0 || mo < 1 || d < 1 || h < 0 || h > 23 || mi < 0 || mi > 59 || s < 0 || s > 59) return bad();
  if (text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != ' ') || text[13] != ':' || text[16] != ':')
    return bad();
  const year_month_day date{year(y), month(unsigned(mo)), day(unsigned(d))};
  if (!date.ok()) return bad();
  size_t at = 19;
  int64_t fraction_us = 0;
  if (at < text.size() && text[at] == '.') {
    int64_t unit = 100'000;
    const size_t first = ++at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10)
      fraction_us += (text[at] - '0') * unit;
    if (at == first) return bad();
  }
  int64_t offset_minutes = 0;
  if (text.substr(at) != "Z" && text.substr(at) != "z") {
    const int oh = digits(text, at + 1, 2), om = digits(text, at + 4, 2);
    if (at + 6 != text.size() || (text[at] != '+' && text[at] != '-') || text[at + 3] != ':' || oh < 0 || oh > 23 ||
        om < 0 || om > 59)
      return bad();
    offset_minutes = (oh * 60 + om) * (text[at] == '-' ? -1 : 1);
  }
  const auto point = sys_days(date) + hours(h) + minutes(mi - offset_minutes) + seconds(s);
  return duration_cast<microseconds>(point.time_since_epoch()).count() + fraction_us;
}

}  // namespace base
