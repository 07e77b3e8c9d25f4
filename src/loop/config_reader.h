// One mapping of lathe.yaml read through its table of keys: unknown keys, wrong types and values out of bounds become
// one error with file, line, key, found and allowed; every value read is recorded as a Setting. The first error is kept
// and the getters go on answering defaults, so that a reader needs no check at each step. Used by config.cc only.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/yaml.h"
#include "loop/config.h"
#include "loop/config_keys.h"

namespace loop {

// What is common to all mappings of one file.
struct ReadState {
  std::string file;
  std::vector<Setting> settings;
  std::optional<base::Error> error;
  void fail(int line, std::string_view key, std::string_view what);  // "lathe.yaml:7: gate.min: what"
};

class KeyReader {
 public:
  // `node` may be null (the section is absent: all defaults). `where` is "gate" or "data.digits" or "". `over`, if
  // given, is read first: an environment's overrides. `extra` keys are allowed but read by the caller.
  KeyReader(ReadState& state, std::string where, std::span<const Key> keys, const base::yaml::Node* node,
            const base::yaml::Node* over = nullptr, std::vector<std::string> extra = {});

  bool has(std::string_view key) const { return find(key) != nullptr; }
  std::string text(std::string_view key, std::string_view fallback = "");  // kName, kText, kChoice
  bool boolean(std::string_view key);
  double number(std::string_view key);
  std::optional<double> optional_number(std::string_view key);
  std::optional<int64_t> optional_integer(std::string_view key);
  std::optional<int64_t> optional_duration_us(std::string_view key, int64_t least_us, int64_t most_us);
  std::optional<std::vector<int64_t>> optional_integers(std::string_view key);
  int64_t integer(std::string_view key);
  int64_t duration_us(std::string_view key);
  std::vector<std::string> list(std::string_view key);         // kPaths, kNames, kTriggers
  std::map<std::string, double> shares(std::string_view key);  // kShares
  // "200 rows" → rows; "1h" → time. The other is 0.
  void window(std::string_view key, int64_t& rows, int64_t& time_us);
  int line(std::string_view key) const;  // of the value; 0 if absent

 private:
  const base::yaml::Node* find(std::string_view key) const;
  const Key& spec(std::string_view key) const;
  std::string path(std::string_view key) const;
  void check_keys(const base::yaml::Node* node, const std::vector<std::string>& extra);
  void record(std::string_view key, std::string_view value, int line);
  void wrong(const Key& key, const base::yaml::Node& found);
  std::string scalar_or_default(std::string_view key, std::string_view fallback);

  ReadState& state_;
  std::string where_;
  std::span<const Key> keys_;
  const base::yaml::Node* node_;
  const base::yaml::Node* over_;
};

std::vector<std::string> split_choices(std::string_view choices);
std::string allowed_text(const Key& key);  // "a number from 0.5 to 0.9999"
bool is_config_name(std::string_view text);

}  // namespace loop
