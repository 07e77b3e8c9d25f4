#include "loop/config_reader.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/assert.h"
#include "base/json_writer.h"

namespace loop {

using base::yaml::Node;

namespace {

struct Unit {
  std::string_view name;
  int64_t us;
};
constexpr std::array<Unit, 6> kUnits = {{{"w", 604'800'000'000},
                                         {"d", 86'400'000'000},
                                         {"h", 3'600'000'000},
                                         {"m", 60'000'000},
                                         {"s", 1'000'000},
                                         {"ms", 1'000}}};

std::string number_text(double v) {
  std::string out;
  base::append_double(out, v);
  if (out.ends_with(".0")) out.resize(out.size() - 2);  // as a person writes it
  return out;
}

std::optional<int64_t> whole(std::string_view text) {
  int64_t v = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (ec != std::errc() || end != text.data() + text.size() || text.empty() || v < 0) return std::nullopt;
  return v;
}

// "200 rows" or "200rows".
std::optional<int64_t> row_count(std::string_view text) {
  for (std::string_view suffix : {" rows", "rows", " row"}) {
    if (text.ends_with(suffix)) return whole(text.substr(0, text.size() - suffix.size()));
  }
  return std::nullopt;
}

// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before, last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = last;
    last = row;
  }
  return last[b.size()];
}

std::string joined(const std::vector<std::string>& items, std::string_view between) {
  std::string out;
  for (const auto& item : items) {
    if (!out.empty()) out += between;
    out += item;
  }
  return out;
}

}  // namespace

std::optional<int64_t> parse_duration_us(std::string_view text) {
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.name)) continue;
    const auto count = whole(text.substr(0, text.size() - unit.name.size()));
    if (!count) continue;  // "5ms" ends with "s" too
    if (*count > INT64_MAX / unit.us) return std::nullopt;
    return *count * unit.us;
  }
  return std::nullopt;
}

std::string format_duration(int64_t us) {
  if (us == 0) return "0s";
  for (const Unit& unit : kUnits) {
    if (us % unit.us == 0) return std::to_string(us / unit.us) + std::string(unit.name);
  }
  return number_text(static_cast<double>(us) / 1000) + "ms";
}

std::string nearest(std::string_view word, const std::vector<std::string>& allowed) {
  std::string best;
  size_t least = word.size() <= 3 ? 2 : 3;  // a typo or two, not another word
  for (const auto& candidate : allowed) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < least) least = distance, best = candidate;
  }
  return best;
}

std::vector<std::string> split_choices(std::string_view choices) {
  std::vector<std::string> out;
  while (!choices.empty()) {
    const size_t bar = choices.find('|');
    out.emplace_back(choices.substr(0, bar));
    choices = bar == std::string_view::npos ? std::string_view() : choices.substr(bar + 1);
  }
  return out;
}

bool is_config_name(std::string_view text) {
  if (text.empty() || text.size() > 128) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!word && (i == 0 || (c != '_' && c != '-' && c != '.'))) return false;
  }
  return true;
}

std::string allowed_text(const Key& key) {
  switch (key.type) {
    case KeyType::kName: return "a name (letters, digits, '_', '-', '.'; at most 128; a letter or digit first)";
    case KeyType::kText: return "a text";
    case KeyType::kBool: return "true or false";
    case KeyType::kNumber: return "a number from " + number_text(key.least) + " to " + number_text(key.most);
    case KeyType::kInteger:
      return "a whole number from " + std::to_string(static_cast<int64_t>(key.least)) + " to " +
             std::to_string(static_cast<int64_t>(key.most));
    case KeyType::kDuration: return "a duration: a whole number and ms, s, m, h, d or w, as in 90s";
    case KeyType::kWindow: return "a number of rows, as in '200 rows', or a duration, as in 1h";
    case KeyType::kChoice: return joined(split_choices(key.choices), ", ");
    case KeyType::kPaths: return "a path or glob within the project, or a list of them";
    case KeyType::kNames: return "a list of texts";
    case KeyType::kPercents: return "a list of percentages that rise, above 0 and below 100, as in [10, 50]";
    case KeyType::kIntegers:
      return "a list of whole numbers from " + std::to_string(static_cast<int64_t>(key.least)) + " to " +
             std::to_string(static_cast<int64_t>(key.most));
    case KeyType::kShares: return "a mapping from a class to a number from 0 to 1, as in {fraud: 0.3}";
    case KeyType::kTriggers:
      return "a list of " + joined(split_choices(key.choices), ", ") +
             " and at most one cron line with a time zone, as in '0 3 * * * Europe/Paris'";
  }
  return "";
}

void ReadState::fail(int line, std::string_view key, std::string_view what) {
  if (error) return;
  std::string message = file;
  if (line > 0) message += ":" + std::to_string(line);
  message += ": ";
  if (!key.empty()) message.append(key).append(": ");
  message += what;
  error = base::Error{base::Code::kInvalid, std::move(message)};
}

KeyReader::KeyReader(ReadState& state, std::string where, std::span<const Key> keys, const Node* node, const Node* over,
                     std::vector<std::string> extra)
    : state_(state), where_(std::move(where)), keys_(keys), node_(node), over_(over) {
  check_keys(node_, extra);
  check_keys(over_, extra);
}

void KeyReader::check_keys(const Node* node, const std::vector<std::string>& extra) {
  if (node == nullptr) return;
  std::vector<std::string> allowed;
  for (const Key& key : keys_) allowed.emplace_back(key.name);
  allowed.insert(allowed.end(), extra.begin(), extra.end());
  if (!node->is_map()) {
    state_.fail(node->line, where_, "found " + node->describe() + "; allowed: a mapping with " + joined(allowed, ", "));
    return;
  }
  for (const auto& entry : node->entries) {
    if (std::find(allowed.begin(), allowed.end(), entry.key) != allowed.end()) continue;
    std::string what = "unknown key";
    if (const auto near = nearest(entry.key, allowed); !near.empty()) what += "; did you mean '" + near + "'?";
    state_.fail(entry.line, path(entry.key),
                what + (what.ends_with('?') ? " Allowed: " : "; allowed: ") + joined(allowed, ", "));
  }
  for (const Key& key : keys_) {
    if (key.required && find(key.name) == nullptr) {
      state_.fail(node->line, path(key.name), "is missing; it must be " + allowed_text(key));
    }
  }
}

const Node* KeyReader::find(std::string_view key) const {
  for (const Node* node : {over_, node_}) {
    if (node == nullptr || !node->is_map()) continue;
    if (const Node* value = node->find(key)) return value;
  }
  return nullptr;
}

const Key& KeyReader::spec(std::string_view key) const {
  const auto found = std::find_if(keys_.begin(), keys_.end(), [&](const Key& k) { return k.name == key; });
  ASSERT_ALWAYS(found != keys_.end());
  return *found;
}

std::string KeyReader::path(std::string_view key) const {
  return where_.empty() ? std::string(key) : where_ + "." + std::string(key);
}

void KeyReader::record(std::string_view key, std::string_view value, int line) {
  state_.settings.push_back({path(key), std::string(value), line});
}

void KeyReader::wrong(const Key& key, const Node& found) {
  std::string what = "found " + found.describe() + "; allowed: " + allowed_text(key);
  if (key.type == KeyType::kChoice && found.is_scalar()) {
    if (const auto near = nearest(found.scalar, split_choices(key.choices)); !near.empty())
      what += "; did you mean '" + near + "'?";
  }
  state_.fail(found.line, path(key.name), what);
}

int KeyReader::line(std::string_view key) const {
  const Node* node = find(key);
  return node == nullptr ? 0 : node->line;
}

// The scalar as written, or the default; records the setting.
std::string KeyReader::scalar_or_default(std::string_view key, std::string_view fallback) {
  const Key& k = spec(key);
  const Node* node = find(key);
  const std::string value = node != nullptr ? node->scalar : std::string(fallback.empty() ? k.fallback : fallback);
  if (node != nullptr && !node->is_scalar()) wrong(k, *node);
  if (!value.empty() || node != nullptr) record(key, value, node != nullptr ? node->line : 0);
  return value;
}

std::string KeyReader::text(std::string_view key, std::string_view fallback) {
  const Key& k = spec(key);
  const Node* node = find(key);
  std::string value = scalar_or_default(key, fallback);
  if (node == nullptr || !node->is_scalar()) return value;
  bool ok = !value.empty();
  if (k.type == KeyType::kName) ok = is_config_name(value);
  if (k.type == KeyType::kChoice) {
    const auto choices = split_choices(k.choices);
    ok = std::find(choices.begin(), choices.end(), value) != choices.end();
  }
  if (!ok) wrong(k, *node);
  return value;
}

bool KeyReader::boolean(std::string_view key) {
  const Key& k = spec(key);
  const Node* node = find(key);
  const bool fallback = k.fallback == "true";
  scalar_or_default(key, "");
  if (node == nullptr || !node->is_scalar()) return fallback;
  const auto value = node->as_bool();
  if (!value) wrong(k, *node);
  return value.value_or(fallback);
}

std::optional<double> KeyReader::optional_number(std::string_view key) {
  const Key& k = spec(key);
  const Node* node = find(key);
  const std::string text = scalar_or_default(key, "");
  if (node == nullptr) return text.empty() ? std::nullopt : std::optional(std::strtod(text.c_str(), nullptr));
  const auto value = node->as_double();
  if (!value || !std::isfinite(*value) || *value < k.least || *value > k.most) {
    wrong(k, *node);
    return std::nullopt;
  }
  return value;
}

double KeyReader::number(std::string_view key) { return optional_number(key).value_or(0); }

int64_t KeyReader::integer(std::string_view key) {
  const Key& k = spec(key);
  const Node* node = find(key);
  const std::string text = scalar_or_default(key, "");
  if (node == nullptr) return whole(text).value_or(0);
  const auto value = node->as_int();
  if (!value || static_cast<double>(*value) < k.least || static_cast<double>(*value) > k.most) {
    wrong(k, *node);
    return 0;
  }
  return *value;
}

std::optional<int64_t> KeyReader::optional_integer(std::string_view key) {
  if (!has(key)) return std::nullopt;
  return integer(key);
}

std::optional<int64_t> KeyReader::optional_duration_us(std::string_view key, int64_t least_us, int64_t most_us) {
  if (!has(key)) return std::nullopt;
  const int64_t us = duration_us(key);
  if (us < least_us || us > most_us)
    state_.fail(
        line(key), path(key),
        "found " + format_duration(us) + "; allowed: " + format_duration(least_us) + " to " + format_duration(most_us));
  return us;
}

std::optional<std::vector<int64_t>> KeyReader::optional_integers(std::string_view key) {
  if (!has(key)) return std::nullopt;
  const Key& k = spec(key);
  std::vector<int64_t> out;
  for (const std::string& item : list(key)) {
    const auto value = whole(item);
    if (!value || static_cast<double>(*value) < k.least || static_cast<double>(*value) > k.most)
      state_.fail(line(key), path(key), "found '" + item + "'; allowed: " + allowed_text(k));
    out.push_back(value.value_or(0));
  }
  return out;
}

int64_t KeyReader::duration_us(std::string_view key) {
  const Node* node = find(key);
  const auto value = parse_duration_us(scalar_or_default(key, ""));
  if (!value && node != nullptr) wrong(spec(key), *node);
  return value.value_or(0);
}

void KeyReader::window(std::string_view key, int64_t& rows, int64_t& time_us) {
  const Node* node = find(key);
  const std::string text = scalar_or_default(key, "");
  rows = row_count(text).value_or(0);
  time_us = rows > 0 ? 0 : parse_duration_us(text).value_or(0);
  if (rows == 0 && time_us == 0 && node != nullptr) wrong(spec(key), *node);
}

std::vector<std::string> KeyReader::list(std::string_view key) {
  const Key& k = spec(key);
  const Node* node = find(key);
  std::vector<std::string> out;
  if (node == nullptr) {
    if (k.fallback.starts_with('[')) out.emplace_back(k.fallback.substr(1, k.fallback.size() - 2));
    if (!k.fallback.empty()) record(key, k.fallback, 0);
    return out;
  }
  if (node->is_scalar() && k.type != KeyType::kNames && k.type != KeyType::kPercents && k.type != KeyType::kIntegers) {
    out.push_back(node->scalar);
  } else if (node->is_sequence()) {
    for (const Node& item : node->items) {
      if (!item.is_scalar() || item.scalar.empty()) wrong(k, item);
      out.push_back(item.scalar);
    }
  } else {
    wrong(k, *node);
  }
  record(key, "[" + joined(out, ", ") + "]", node->line);
  return out;
}

std::map<std::string, double> KeyReader::shares(std::string_view key) {
  const Key& k = spec(key);
  const Node* node = find(key);
  std::map<std::string, double> out;
  if (node == nullptr) return out;
  if (!node->is_map()) wrong(k, *node);
  std::string shown;
  for (const auto& entry : node->entries) {
    const auto value = entry.value.as_double();
    if (!value || !(*value >= 0 && *value <= 1)) wrong(k, entry.value);
    out[entry.key] = value.value_or(0);
    shown += (shown.empty() ? "" : ", ") + entry.key + ": " + entry.value.scalar;
  }
  record(key, "{" + shown + "}", node->line);
  return out;
}

}  // namespace loop
