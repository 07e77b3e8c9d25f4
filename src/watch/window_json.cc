// The stored form of a window's numbers and members.
#include "base/json.h"
#include "base/json_writer.h"
#include "watch/window.h"

namespace watch {
namespace {

// One list of the integer and the double fields, so that writing and reading can't differ.
struct IntField {
  std::string_view key;
  int64_t FeatureNumbers::* member;
};
constexpr IntField kInts[] = {
    {"rows", &FeatureNumbers::rows},
    {"missing", &FeatureNumbers::missing},
    {"wrong_type", &FeatureNumbers::wrong_type},
    {"out_of_range", &FeatureNumbers::out_of_range},
    {"far_out_of_range", &FeatureNumbers::far_out_of_range},
    {"unseen", &FeatureNumbers::unseen},
    {"off_constant", &FeatureNumbers::off_constant},
    {"gap", &FeatureNumbers::gap},
};
struct DoubleField {
  std::string_view key;
  double FeatureNumbers::* member;
};
constexpr DoubleField kDoubles[] = {
    {"d", &FeatureNumbers::d},           {"psi", &FeatureNumbers::psi},   {"p", &FeatureNumbers::p},
    {"p_holm", &FeatureNumbers::p_holm}, {"p_bh", &FeatureNumbers::p_bh}, {"quality_p", &FeatureNumbers::quality_p},
};
struct FlagField {
  std::string_view key;
  bool FeatureNumbers::* member;
};
constexpr FlagField kFlags[] = {
    {"tested", &FeatureNumbers::tested},
    {"drifted", &FeatureNumbers::drifted},
    {"bad_quality", &FeatureNumbers::bad_quality},
};
constexpr FeatureKind kKinds[] = {FeatureKind::kNumeric, FeatureKind::kCategory, FeatureKind::kConstant,
                                  FeatureKind::kOpaque};

void write(base::JsonWriter& out, const FeatureNumbers& f) {
  out.begin_object().field("name", f.name).field("kind", name(f.kind));
  for (const auto& [key, member] : kInts) {
    if (f.*member != 0 || key == "rows") out.field(key, f.*member);
  }
  if (!f.counts.empty()) {
    out.key("counts").begin_array();
    for (const int64_t count : f.counts) out.value(count);
    out.end_array();
  }
  for (const auto& [key, member] : kDoubles) {
    if (f.tested || key == "quality_p") out.field(key, f.*member);
  }
  for (const auto& [key, member] : kFlags) out.field(key, f.*member);
  out.end_object();
}

base::Result<FeatureNumbers> read_feature(const base::json::value& value) {
  TRY_SET(const auto* in, base::as_object(value, "a feature"));
  FeatureNumbers f;
  TRY_SET(f.name, base::required_string(*in, "name"));
  TRY_SET(const std::string kind, base::required_string(*in, "kind"));
  for (const FeatureKind k : kKinds) {
    if (name(k) == kind) f.kind = k;
  }
  for (const auto& [key, member] : kInts) {
    TRY_SET(const auto found, base::optional_int(*in, key));
    f.*member = found.value_or(0);
  }
  for (const auto& [key, member] : kDoubles) {
    TRY_SET(const auto found, base::optional_double(*in, key));
    if (found) f.*member = *found;
  }
  for (const auto& [key, member] : kFlags) {
    TRY_SET(f.*member, base::required_bool(*in, key));
  }
  if (in->contains("counts")) {
    TRY_SET(const auto* counts, base::required_array(*in, "counts"));
    for (const auto& count : *counts) {
      if (!count.is_int64() || count.get_int64() < 0)
        return base::invalid("counts of feature '" + f.name + "' must be whole numbers");
      f.counts.push_back(count.get_int64());
    }
  }
  return f;
}

}  // namespace

std::string to_json(const WindowNumbers& numbers) {
  std::string text;
  base::JsonWriter out(text);
  out.begin_object().field("rows", numbers.rows).field("family", numbers.family);
  out.field("constant_family", numbers.constant_family).field("drifted_share", numbers.drifted_share);
  out.field("judged", numbers.judged).field("drifted", numbers.drifted).field("bad_quality", numbers.bad_quality);
  out.key("predictions");
  write(out, numbers.predictions);
  out.key("features").begin_array();
  for (const FeatureNumbers& feature : numbers.features) write(out, feature);
  out.end_array().end_object();
  return text;
}

base::Result<WindowNumbers> parse_window_numbers(std::string_view json) {
  TRY_SET(const auto document, base::parse_json(json));
  TRY_SET(const auto* in, base::as_object(document, "a window"));
  WindowNumbers numbers;
  TRY_SET(numbers.rows, base::required_int(*in, "rows"));
  TRY_SET(numbers.family, base::required_int(*in, "family"));
  TRY_SET(numbers.constant_family, base::required_int(*in, "constant_family"));
  TRY_SET(numbers.drifted_share, base::required_double(*in, "drifted_share"));
  TRY_SET(numbers.judged, base::required_bool(*in, "judged"));
  TRY_SET(numbers.drifted, base::required_bool(*in, "drifted"));
  TRY_SET(numbers.bad_quality, base::required_bool(*in, "bad_quality"));
  if (!in->contains("predictions")) return base::invalid("the window has no 'predictions'");
  TRY_SET(numbers.predictions, read_feature(in->at("predictions")));
  TRY_SET(const auto* features, base::required_array(*in, "features"));
  for (const auto& feature : *features) {
    TRY_SET(auto read, read_feature(feature));
    numbers.features.push_back(std::move(read));
  }
  return numbers;
}

std::string members_to_json(const std::vector<WindowRows::Member>& members) {
  std::string text;
  base::JsonWriter out(text);
  out.begin_object();
  for (const auto& member : members) {
    out.key(member.prediction).begin_array();
    for (const std::string& label : member.labels) out.value(label);
    out.end_array();
  }
  out.end_object();
  return text;
}

base::Result<std::map<std::string, std::vector<std::string>>> parse_members(std::string_view json) {
  TRY_SET(const auto document, base::parse_json(json));
  TRY_SET(const auto* in, base::as_object(document, "the members of a window"));
  std::map<std::string, std::vector<std::string>> members;
  for (const auto& [prediction, labels] : *in) {
    if (!labels.is_array()) return base::invalid("the labels of a window's member must be a list");
    auto& into = members[prediction];
    for (const auto& label : labels.get_array()) {
      if (label.is_string()) into.emplace_back(label.get_string());
    }
  }
  return members;
}

}  // namespace watch
