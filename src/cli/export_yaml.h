// The YAML files of MLflow's file store as PyYAML reads them (YAML 1.1): a map of one level by fields, deeper values in
// flow style; text is always quoted and what PyYAML calls not printable is escaped. Thread: plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "track/types.h"

namespace cli {

std::string yaml_text(std::string_view text);   // "…"
std::string yaml_value(std::string_view json);  // the value of a JSON text; what is no JSON is taken as text
std::string double_text(double number);         // as Python reads it: nan, inf, -inf, else the shortest

class YamlMap {
 public:
  YamlMap& text(std::string_view key, std::string_view value) { return raw(key, yaml_text(value)); }
  YamlMap& opt_text(std::string_view key, const std::optional<std::string>& value) {
    return raw(key, value ? yaml_text(*value) : "null");
  }
  // null for what was never given, as MLflow writes it.
  YamlMap& text_or_null(std::string_view key, std::string_view value) {
    return raw(key, value.empty() ? "null" : yaml_text(value));
  }
  YamlMap& number(std::string_view key, int64_t value) { return raw(key, std::to_string(value)); }
  YamlMap& tags(std::string_view key, const track::Tags& tags);
  YamlMap& raw(std::string_view key, std::string_view value) {
    out_.append(key).append(": ").append(value).append("\n");
    return *this;
  }
  const std::string& str() const { return out_; }

 private:
  std::string out_;
};

}  // namespace cli
