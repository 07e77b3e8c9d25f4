#include "flow/cron.h"

#include <date/tz.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <span>
#include <vector>

namespace flow {
namespace {

constexpr std::array<std::string_view, 12> kMonths{"jan", "feb", "mar", "apr", "may", "jun",
                                                   "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kWeekdays{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct Field {
  std::string_view name;
  unsigned low, high;
  std::span<const std::string_view> words;  // names of low, low + 1, …
};

std::unexpected<base::Error> bad(const Field& field, std::string_view found) {
  return base::invalid("cron: " + std::string(field.name) + " is '" + std::string(found) +
                       "'; allowed are *, numbers from " + std::to_string(field.low) + " to " +
                       std::to_string(field.high) + ", a-b, lists a,b and steps */n");
}

std::optional<unsigned> number(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<unsigned> item(const Field& field, std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  for (size_t i = 0; i < field.words.size(); ++i)
    if (field.words[i] == lower) return field.low + static_cast<unsigned>(i);
  const auto value = number(text);
  return value && *value >= field.low && *value <= field.high ? value : std::nullopt;
}

std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(by);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

template <size_t N>
base::Result<void> fill(const Field& field, std::string_view text, std::bitset<N>& out) {
  for (const std::string_view part : split(text, ',')) {
    const size_t slash = part.find('/');
    const std::string_view range = part.substr(0, slash);
    unsigned step = 1;
    if (slash != std::string_view::npos) {
      const auto n = number(part.substr(slash + 1));
      if (!n || *n == 0) return bad(field, text);
      step = *n;
    }
    unsigned low = field.low, high = field.high;
    if (range != "*") {
      const size_t dash = range.find('-');
      const auto first = item(field, range.substr(0, dash));
      if (!first) return bad(field, text);
      low = *first;
      if (dash != std::string_view::npos) {
        const auto last = item(field, range.substr(dash + 1));
        if (!last || *last < low) return bad(field, text);
        high = *last;
      } else if (slash == std::string_view::npos) {
        high = low;
      }
    }
    for (unsigned v = low; v <= high; v += step) out.set(v % N);  // weekday 7 is 0
  }
  return {};
}

std::string_view expand(std::string_view text) {
  if (text == "@hourly") return "0 * * * *";
  if (text == "@daily" || text == "@midnight") return "0 0 * * *";
  if (text == "@weekly") return "0 0 * * 0";
  if (text == "@monthly") return "0 0 1 * *";
  return text;
}

const date::time_zone* find_zone(const std::string& name) {
  try {
    return date::locate_zone(name);
  } catch (const std::exception&) {
    return nullptr;
  }
}

}  // namespace

base::Result<Cron> Cron::parse(std::string_view text) {
  std::vector<std::string_view> words;
  for (const std::string_view word : split(text, ' '))
    if (!word.empty()) words.push_back(word);
  if (!words.empty() && words[0].starts_with('@')) {
    const std::string_view expanded = expand(words[0]);
    if (expanded == words[0])
      return base::invalid("cron: '" + std::string(words[0]) +
                           "' is unknown; allowed are @hourly, @daily, @weekly, @monthly");
    const auto fields = split(expanded, ' ');
    words.erase(words.begin());
    words.insert(words.begin(), fields.begin(), fields.end());
  }
  if (words.size() != 5 && words.size() != 6)
    return base::invalid("cron: '" + std::string(text) + "' has " + std::to_string(words.size()) +
                         " fields; it needs minute, hour, day of month, month, day of week and perhaps a time zone, as "
                         "in '0 3 * * * Europe/Paris'");
  Cron cron;
  TRY(fill({"minute", 0, 59, {}}, words[0], cron.minutes_));
  TRY(fill({"hour", 0, 23, {}}, words[1], cron.hours_));
  TRY(fill({"day of month", 1, 31, {}}, words[2], cron.days_));
  TRY(fill({"month", 1, 12, kMonths}, words[3], cron.months_));
  TRY(fill({"day of week", 0, 7, kWeekdays}, words[4], cron.weekdays_));
  cron.every_hour_ = words[1].starts_with('*');
  cron.any_day_ = words[2].starts_with('*');
  cron.any_weekday_ = words[4].starts_with('*');
  if (words.size() == 6) {
    cron.zone_ = words[5];
    if (!find_zone(cron.zone_))
      return base::invalid("cron: '" + cron.zone_ +
                           "' is not a time zone; use an IANA name such as Europe/Paris or UTC");
  }
  return cron;
}

bool Cron::day_matches(unsigned month, unsigned day, unsigned weekday) const {
  if (!months_[month]) return false;
  if (any_day_ || any_weekday_) return days_[day] && weekdays_[weekday];
  return days_[day] || weekdays_[weekday];
}

std::optional<int64_t> Cron::next_after(int64_t wall_us) const {
  using namespace std::chrono;
  const date::time_zone* zone = find_zone(zone_);
  if (!zone) return std::nullopt;  // the zone database lost a name that parse() had found
  const auto after = date::sys_time<microseconds>(microseconds(wall_us));
  // One day back: on a day with a gap or a repeat, the instant of a local time may lie on the other side of midnight.
  const date::local_days first = date::floor<date::days>(zone->to_local(after)) - date::days(1);
  for (int n = 0; n < 8 * 366; ++n) {
    const date::local_days day = first + date::days(n);
    const date::year_month_day ymd(day);
    if (!day_matches(unsigned(ymd.month()), unsigned(ymd.day()), date::weekday(day).c_encoding())) continue;
    std::optional<date::sys_time<microseconds>> best;
    const auto offer = [&](date::sys_time<microseconds> at) {
      if (at > after && (!best || at < *best)) best = at;
    };
    for (unsigned h = 0; h < 24; ++h) {
      if (!hours_[h]) continue;
      for (unsigned m = 0; m < 60; ++m) {
        if (!minutes_[m]) continue;
        const auto local = day + hours(h) + minutes(m);
        const date::local_info info = zone->get_info(local);
        switch (info.result) {
          case date::local_info::unique:
            offer(date::sys_time<microseconds>(local.time_since_epoch() - info.first.offset));
            break;
          case date::local_info::nonexistent:
            // With `*` hours the next real hour fires by itself.
            if (!every_hour_) offer(info.first.end);
            break;
          case date::local_info::ambiguous:
            offer(date::sys_time<microseconds>(local.time_since_epoch() - info.first.offset));
            if (every_hour_) offer(date::sys_time<microseconds>(local.time_since_epoch() - info.second.offset));
            break;
        }
      }
    }
    if (best) return duration_cast<microseconds>(best->time_since_epoch()).count();
  }
  return std::nullopt;
}

}  // namespace flow
