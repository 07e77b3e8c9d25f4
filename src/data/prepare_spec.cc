#include "data/prepare_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <set>
#include <utility>

#include "base/yaml.h"

namespace data {

std::string_view name(ColumnType type) {
  switch (type) {
    case ColumnType::kNumber: return "number";
    case ColumnType::kInteger: return "integer";
    case ColumnType::kText: return "text";
  }
  return "";
}

namespace {

using base::yaml::Node;
constexpr double kSumTolerance = 1e-9;

// Reads one file's nodes; its errors have one form: "file:line: key: found X; allowed: Y".
class Reader {
 public:
  Reader(std::string_view file, PrepareSpec& spec) : file_(file), spec_(spec) {}

  base::Result<void> read(const Node& root, std::string_view label) {
    label_ = label;
    if (root.is_null()) return {};
    if (!root.is_map()) return wrong(root, "(whole file)", "keys and values");
    const std::pair<std::string_view, base::Result<void> (Reader::*)(const Node&)> keys[] = {
        {"columns", &Reader::columns},
        {"rejects", &Reader::rejects},
        {"missing_values", &Reader::missing_values},
        {"exclude", &Reader::exclude},
        {"drop_duplicates", &Reader::drop_duplicates},
        {"split", &Reader::split},
        {"missing", &Reader::missing},
        {"scale", &Reader::scale},
        {"one_hot", &Reader::one_hot},
        {"feedback", &Reader::feedback}};
    for (size_t i = 0; i < root.entries.size(); ++i) {
      const auto& [key, value, line] = root.entries[i];
      const auto* known = std::ranges::find(keys, key, [](const auto& entry) { return entry.first; });
      if (known == std::end(keys)) {
        std::vector<std::string_view> words;
        for (const auto& entry : keys) words.push_back(entry.first);
        return unknown_key(root, i, "", words);
      }
      if (!value.is_null()) TRY((this->*known->second)(value));
    }
    return {};
  }

 private:
  std::unexpected<base::Error> wrong(const Node& node, std::string_view key, std::string_view allowed) const {
    return base::invalid(
        fmt::format("{}:{}: {}: found {}; allowed: {}", file_, node.line, key, node.describe(), allowed));
  }
  std::unexpected<base::Error> unknown_key(const Node& map, size_t i, std::string_view under,
                                           const std::vector<std::string_view>& allowed) const {
    return base::invalid(fmt::format("{}:{}: unknown key '{}{}'; allowed: {}", file_, map.entries[i].line, under,
                                     map.entries[i].key, fmt::join(allowed, ", ")));
  }

  base::Result<std::string> text(const Node& node, std::string_view key) const {
    if (!node.is_scalar()) return wrong(node, key, "a text");
    return node.scalar;
  }
  base::Result<std::vector<std::string>> texts(const Node& node, std::string_view key, std::string_view allowed) const {
    if (!node.is_sequence()) return wrong(node, key, allowed);
    std::vector<std::string> out;
    for (const Node& item : node.items) {
      if (!item.is_scalar()) return wrong(item, key, allowed);
      if (std::ranges::find(out, item.scalar) != out.end()) {
        return base::invalid(fmt::format("{}:{}: {}: '{}' stands twice", file_, item.line, key, item.scalar));
      }
      out.push_back(item.scalar);
    }
    return out;
  }
  base::Result<void> each_entry(const Node& map, std::string_view key, std::string_view allowed,
                                const std::function<base::Result<void>(const std::string&, const Node&)>& visit) const {
    if (!map.is_map()) return wrong(map, key, allowed);
    for (const auto& [name, value, line] : map.entries) TRY(visit(name, value));
    return {};
  }

  base::Result<void> set_type(ColumnRule& rule, const Node& node, const std::string& key) {
    for (const ColumnType type : {ColumnType::kNumber, ColumnType::kInteger, ColumnType::kText}) {
      if (!node.is_scalar() || node.scalar != name(type)) continue;
      if (rule.type && *rule.type != type) {
        return base::invalid(
            fmt::format("{}:{}: {}: '{}' here, '{}' in columns", file_, node.line, key, name(type), name(*rule.type)));
      }
      rule.type = type;
      return {};
    }
    return wrong(node, key, "number, integer or text");
  }

  base::Result<void> set_bound(std::optional<double>& bound, const Node& node, const std::string& key) {
    const auto number = node.as_double();
    if (!number || !std::isfinite(*number)) return wrong(node, key, "a number");
    if (bound && *bound != *number) {
      return base::invalid(fmt::format("{}:{}: {}: {} here, {} in columns", file_, node.line, key, *number, *bound));
    }
    bound = number;
    return {};
  }

  base::Result<void> rule(const std::string& column, const Node& node, const std::string& key, bool in_rejects) {
    ColumnRule& rule = spec_.rules[column];
    if (node.is_scalar()) {
      if (!in_rejects) return set_type(rule, node, key);
      if (node.scalar == "not_null") return rule.not_null = true, base::Result<void>();
      return wrong(node, key, "not_null, or a map of type, min, max, one_of, not_null");
    }
    if (!node.is_map()) return wrong(node, key, in_rejects ? "not_null or a map" : "a type or a map");
    for (size_t i = 0; i < node.entries.size(); ++i) {
      const auto& [name, value, line] = node.entries[i];
      const std::string inner = key + "." + name;
      if (name == "type") {
        TRY(set_type(rule, value, inner));
      } else if (name == "min" || name == "max") {
        TRY(set_bound(name == "min" ? rule.min : rule.max, value, inner));
      } else if (in_rejects && name == "one_of") {
        TRY_SET(rule.one_of, texts(value, inner, "a list of values"));
        if (rule.one_of.empty()) return wrong(value, inner, "at least one value");
      } else if (in_rejects && name == "not_null") {
        if (!value.as_bool()) return wrong(value, inner, "true or false");
        rule.not_null = *value.as_bool();
      } else {
        std::vector<std::string_view> allowed = {"type", "min", "max"};
        if (in_rejects) allowed.insert(allowed.end(), {"one_of", "not_null"});
        return unknown_key(node, i, key + ".", allowed);
      }
    }
    if (rule.type == ColumnType::kText && (rule.min || rule.max))
      return wrong(node, key, "min and max only for numbers");
    if (rule.min && rule.max && *rule.min > *rule.max) return wrong(node, key, "min not above max");
    return {};
  }

  base::Result<void> columns(const Node& node) {
    return each_entry(node, "columns", "columns with their types",
                      [this](const std::string& column, const Node& value) {
                        return rule(column, value, "columns." + column, false);
                      });
  }
  base::Result<void> rejects(const Node& node) {
    return each_entry(node, "rejects", "columns with their rules",
                      [this](const std::string& column, const Node& value) {
                        return rule(column, value, "rejects." + column, true);
                      });
  }
  base::Result<void> missing_values(const Node& node) {
    TRY_SET(spec_.missing_values, texts(node, "missing_values", "a list of texts that mean missing"));
    return {};
  }
  base::Result<void> exclude(const Node& node) {
    TRY_SET(spec_.exclude, texts(node, "exclude", "a list of columns"));
    return {};
  }
  base::Result<void> drop_duplicates(const Node& node) {
    constexpr std::string_view kAllowed = "true, false, or a list of key columns";
    if (const auto flag = node.as_bool()) return spec_.drop_duplicates = *flag, base::Result<void>();
    TRY_SET(spec_.duplicate_keys, texts(node, "drop_duplicates", kAllowed));
    if (spec_.duplicate_keys.empty()) return wrong(node, "drop_duplicates", kAllowed);
    spec_.drop_duplicates = true;
    return {};
  }

  // Three fractions of one; the one left out is the rest.
  base::Result<void> fractions(const Node& node, std::string_view key, const std::array<std::string_view, 3>& names,
                               Fractions& out) {
    double* values[] = {&out.train, &out.valid, &out.test};
    int given = 0;
    double sum = 0;
    size_t rest = 0;
    for (size_t i = 0; i < 3; ++i) {
      const Node* value = node.find(names[i]);
      if (value == nullptr) {
        rest = i;
        continue;
      }
      const auto number = value->as_double();
      if (!number || !(*number >= 0 && *number <= 1)) {
        return wrong(*value, fmt::format("{}.{}", key, names[i]), "a number from 0 to 1");
      }
      *values[i] = *number, sum += *number, ++given;
    }
    if (given == 0) return {};
    if (given == 2 && sum <= 1 + kSumTolerance) *values[rest] = std::max(0.0, 1 - sum), sum = 1;
    if (given < 2 || std::abs(sum - 1) > kSumTolerance) {
      return base::invalid(
          fmt::format("{}:{}: {}: {}, {} and {} add up to {}; they must add up to 1 (one may be left out)", file_,
                      node.line, key, names[0], names[1], names[2], sum));
    }
    return {};
  }

  base::Result<void> split(const Node& node) {
    if (!node.is_map()) return wrong(node, "split", "a map of train, valid, test, seed, stratify, group");
    for (size_t i = 0; i < node.entries.size(); ++i) {
      const auto& [key, value, line] = node.entries[i];
      if (key == "train" || key == "valid" || key == "test") continue;
      if (key == "seed") {
        const auto seed = value.as_int();
        if (!seed || *seed < 0) return wrong(value, "split.seed", "an integer from 0");
        spec_.seed = static_cast<uint64_t>(*seed);
      } else if (key == "group") {
        TRY_SET(spec_.group, text(value, "split.group"));
      } else if (key == "stratify") {
        const auto flag = value.as_bool();
        if (!flag && !value.is_scalar())
          return wrong(value, "split.stratify", "true (by the label), false, or a column");
        spec_.stratify = flag ? (*flag ? label_ : "") : value.scalar;
        if (flag && *flag && label_.empty()) return wrong(value, "split.stratify", "a column: the data has no label");
      } else {
        return unknown_key(node, i, "split.", {"train", "valid", "test", "seed", "stratify", "group"});
      }
    }
    TRY(fractions(node, "split", {"train", "valid", "test"}, spec_.split));
    if (spec_.split.train <= 0) return wrong(node, "split.train", "more than 0");
    return {};
  }

  base::Result<void> missing(const Node& node) {
    constexpr std::string_view kAllowed = "mean, median, mode or {constant: VALUE}";
    return each_entry(
        node, "missing", "columns (or '*') with " + std::string(kAllowed),
        [&](const std::string& column, const Node& value) -> base::Result<void> {
          const std::string key = "missing." + column;
          if (value.is_map() && value.entries.size() == 1 && value.entries[0].key == "constant" &&
              value.entries[0].value.is_scalar()) {
            spec_.transform.fill.push_back({column, stats::FillKind::kConstant, value.entries[0].value.scalar});
            return {};
          }
          const std::pair<std::string_view, stats::FillKind> kinds[] = {
              {"mean", stats::FillKind::kMean}, {"median", stats::FillKind::kMedian}, {"mode", stats::FillKind::kMode}};
          for (const auto& [word, kind] : kinds) {
            if (!value.is_scalar() || value.scalar != word) continue;
            spec_.transform.fill.push_back({column, kind, ""});
            return {};
          }
          return wrong(value, key, kAllowed);
        });
  }

  base::Result<void> scale(const Node& node) {
    return each_entry(
        node, "scale", "columns (or '*') with standard or minmax",
        [&](const std::string& column, const Node& value) -> base::Result<void> {
          const bool standard = value.is_scalar() && value.scalar == "standard";
          if (!standard && !(value.is_scalar() && value.scalar == "minmax")) {
            return wrong(value, "scale." + column, "standard or minmax");
          }
          spec_.transform.scale.push_back({column, standard ? stats::ScaleKind::kStandard : stats::ScaleKind::kMinMax});
          return {};
        });
  }

  base::Result<void> one_hot(const Node& node) {
    TRY_SET(spec_.transform.one_hot, texts(node, "one_hot", "a list of columns"));
    return {};
  }

  base::Result<void> feedback(const Node& node) {
    if (!node.is_map()) return wrong(node, "feedback", "a map of train, valid, recent, rows");
    for (size_t i = 0; i < node.entries.size(); ++i) {
      const auto& [key, value, line] = node.entries[i];
      if (key == "train" || key == "valid" || key == "recent") continue;
      if (key != "rows") return unknown_key(node, i, "feedback.", {"train", "valid", "recent", "rows"});
      const auto rows = value.as_int();
      if (!rows || *rows < 1 || *rows > 1'000'000) return wrong(value, "feedback.rows", "an integer from 1 to 1000000");
      spec_.feedback_rows = *rows;
    }
    return fractions(node, "feedback", {"train", "valid", "recent"}, spec_.feedback);
  }

  std::string file_;
  std::string label_;
  PrepareSpec& spec_;
};

}  // namespace

base::Result<PrepareSpec> parse_prepare(std::string_view yaml, std::string_view file, std::string_view label) {
  TRY_SET(const Node root, base::yaml::parse(yaml, file));
  PrepareSpec spec;
  TRY(Reader(file, spec).read(root, label));
  return spec;
}

std::string_view prepare_json_schema() {
  return R"json({
  "$id": "prepare.yaml",
  "title": "Lathe: preparation of a data set",
  "type": "object",
  "additionalProperties": false,
  "$defs": {
    "names": {"type": "array", "items": {"type": "string"}, "uniqueItems": true},
    "type": {"enum": ["number", "integer", "text"]},
    "fraction": {"type": "number", "minimum": 0, "maximum": 1}
  },
  "properties": {
    "columns": {
      "description": "Types and ranges; a value outside makes its row a reject. Undeclared columns are numbers if all their values are.",
      "type": "object",
      "additionalProperties": {"oneOf": [
        {"$ref": "#/$defs/type"},
        {"type": "object", "additionalProperties": false,
         "properties": {"type": {"$ref": "#/$defs/type"}, "min": {"type": "number"}, "max": {"type": "number"}}}
      ]}
    },
    "rejects": {
      "description": "Rules; a row that breaks one goes to rejects.csv with the reason.",
      "type": "object",
      "additionalProperties": {"oneOf": [
        {"const": "not_null"},
        {"type": "object", "additionalProperties": false,
         "properties": {"type": {"$ref": "#/$defs/type"}, "min": {"type": "number"}, "max": {"type": "number"},
                        "one_of": {"type": "array", "minItems": 1}, "not_null": {"type": "boolean"}}}
      ]}
    },
    "missing_values": {"description": "Texts that mean missing, besides the empty field.", "$ref": "#/$defs/names"},
    "exclude": {"description": "Columns that are not kept.", "$ref": "#/$defs/names"},
    "drop_duplicates": {"description": "true: equal in every kept column; or the key columns.",
                        "oneOf": [{"type": "boolean"}, {"$ref": "#/$defs/names"}]},
    "split": {
      "type": "object", "additionalProperties": false,
      "properties": {
        "train": {"$ref": "#/$defs/fraction"}, "valid": {"$ref": "#/$defs/fraction"}, "test": {"$ref": "#/$defs/fraction"},
        "seed": {"type": "integer", "minimum": 0},
        "stratify": {"description": "true: by the label; or a column.", "type": ["boolean", "string"]},
        "group": {"description": "Column whose equal values never sit on two sides.", "type": "string"}
      }
    },
    "missing": {
      "type": "object",
      "additionalProperties": {"oneOf": [
        {"enum": ["mean", "median", "mode"]},
        {"type": "object", "additionalProperties": false, "required": ["constant"],
         "properties": {"constant": {"type": ["string", "number"]}}}
      ]}
    },
    "scale": {"type": "object", "additionalProperties": {"enum": ["standard", "minmax"]}},
    "one_hot": {"$ref": "#/$defs/names"},
    "feedback": {
      "description": "Where labelled traffic goes at a retraining.",
      "type": "object", "additionalProperties": false,
      "properties": {
        "train": {"$ref": "#/$defs/fraction"}, "valid": {"$ref": "#/$defs/fraction"}, "recent": {"$ref": "#/$defs/fraction"},
        "rows": {"description": "The newest labelled rows that are taken.", "type": "integer", "minimum": 1, "maximum": 1000000}
      }
    }
  }
})json";
}

}  // namespace data
