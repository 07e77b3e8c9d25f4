#include "serve/split.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/json.h"
#include "base/json_writer.h"
#include "serve/condition.h"

namespace serve {
namespace {

bool is_header_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxStickyBytes && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

constexpr std::array<std::string_view, 3> kOutcomes = {"accuracy", "error", "reward"};

base::Result<void> check_rules(const TrafficPlan& plan) {
  if (plan.rules.size() > kMaxTrafficRules)
    return base::invalid("there are " + std::to_string(plan.rules.size()) + " rules; at most " +
                         std::to_string(kMaxTrafficRules) + " are allowed");
  for (size_t i = 0; i < plan.rules.size(); ++i) {
    const std::string where = "rule " + std::to_string(i + 1);
    auto condition = Condition::parse(plan.rules[i].when);
    if (!condition) return std::unexpected(std::move(condition).error().within(where));
    for (const auto& reference : condition->references())
      if (reference.source == Condition::Source::kResponse)
        return base::invalid(where + ": at character " + std::to_string(reference.at) +
                             ": there is no answer yet when a request is sent to a revision");
  }
  return {};
}

base::Result<void> check_bandit(const TrafficPlan& plan) {
  if (!plan.bandit) return {};
  const auto arms = static_cast<uint32_t>(plan.parts.size());
  if (arms < 2) return base::invalid("a bandit needs two revisions to choose from: give weights for them");
  if (plan.bandit->floor == 0 || plan.bandit->floor * arms > kWholeShare)
    return base::invalid("a bandit's floor must be more than 0 and leave room for " + std::to_string(arms) +
                         " revisions, found " + percent_text(plan.bandit->floor) + " %");
  if (plan.bandit->every_us < kLeastBanditUs || plan.bandit->every_us > kMostBanditUs)
    return base::invalid("a bandit decides every 1 to 86400 seconds");
  if (plan.outcome != Outcome::kAccuracy)
    return base::invalid("a bandit learns from answers that are right or wrong; outcome must be accuracy");
  for (const TrafficPart& part : plan.parts)
    if (part.share < plan.bandit->floor)
      return base::invalid("revision " + std::to_string(part.revision) + " has less than the bandit's floor of " +
                           percent_text(plan.bandit->floor) + " %");
  return {};
}

void write_more(base::JsonWriter& json, const TrafficPlan& plan) {
  if (!plan.rules.empty()) {
    json.key("rules").begin_array();
    for (const TrafficRule& rule : plan.rules)
      json.begin_object().field("when", rule.when).field("revision", rule.revision).end_object();
    json.end_array();
  }
  if (plan.bandit) {
    json.key("bandit").begin_object().field("floor", static_cast<int64_t>(plan.bandit->floor));
    json.field("seed", static_cast<int64_t>(plan.bandit->seed)).field("every_us", plan.bandit->every_us);
    json.field("since_us", plan.bandit->since_us).end_object();
  }
  if (plan.outcome != Outcome::kAccuracy) json.field("outcome", name(plan.outcome));
}

uint64_t mix(uint64_t x) {  // splitmix64's finish
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

}  // namespace

uint32_t TrafficPlan::share_of(int64_t revision, int64_t live) const {
  if (parts.empty()) return revision == live ? kWholeShare : 0;
  for (const TrafficPart& part : parts) {
    if (part.revision == revision) return part.share;
  }
  return 0;
}

base::Result<TrafficPlan> checked(TrafficPlan plan, int64_t live) {
  std::ranges::transform(plan.sticky, plan.sticky.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (!plan.sticky.empty() && !is_header_name(plan.sticky))
    return base::invalid("'" + plan.sticky.substr(0, kMaxStickyBytes) +
                         "' is no name of a header: letters, digits, '-' and '_', at most " +
                         std::to_string(kMaxStickyBytes));
  if (plan.parts.size() > kMaxTrafficParts)
    return base::invalid("traffic is divided among " + std::to_string(plan.parts.size()) + " revisions; at most " +
                         std::to_string(kMaxTrafficParts) + " are allowed");
  TRY(check_rules(plan));
  const bool divides = !plan.parts.empty();
  for (const TrafficRule& rule : plan.rules) {
    if (!divides && std::ranges::find(plan.parts, live, &TrafficPart::revision) == plan.parts.end())
      plan.parts.insert(plan.parts.begin(), {live, kWholeShare});
    if (std::ranges::find(plan.parts, rule.revision, &TrafficPart::revision) == plan.parts.end())
      plan.parts.push_back({rule.revision, 0});
  }
  if (plan.parts.size() > kMaxTrafficParts)
    return base::invalid("weights and rules name more than " + std::to_string(kMaxTrafficParts) + " revisions");
  std::ranges::sort(plan.parts, {}, [live](const TrafficPart& p) { return std::pair(p.revision != live, p.revision); });
  std::set<int64_t> named;
  uint64_t sum = 0;
  for (const TrafficPart& part : plan.parts) {
    if (!named.insert(part.revision).second)
      return base::invalid("revision " + std::to_string(part.revision) + " is named twice");
    sum += part.share;
  }
  if (!plan.parts.empty() && sum != kWholeShare)
    return base::invalid("the weights add up to " + std::to_string(sum / 100) + "." + std::to_string(sum % 100) +
                         " %; they must add up to 100");
  if (!plan.parts.empty() && (plan.parts[0].revision != live || plan.parts[0].share == 0))
    return base::invalid("revision " + std::to_string(live) +
                         " is live and must keep a part of the traffic; to replace it, promote another");
  TRY(check_bandit(plan));
  if (plan.parts.size() == 1) plan.parts.clear(), plan.rules.clear();
  if (plan.shadow_share > kWholeShare || (plan.shadow != 0 && plan.shadow_share == 0))
    return base::invalid("the shadow's share must be more than 0 and at most 100 %");
  if (plan.shadow == 0) plan.shadow_share = kWholeShare;
  if (plan.shadow != 0 && (plan.shadow == live || plan.share_of(plan.shadow, live) > 0))
    return base::invalid("revision " + std::to_string(plan.shadow) +
                         " answers requests itself; the shadow must be another one");
  return plan;
}

std::string percent_text(uint32_t share) {
  std::string out = std::to_string(share / 100);
  if (share % 100 == 0) return out;
  out += '.';
  out += static_cast<char>('0' + share / 10 % 10);
  if (share % 10) out += static_cast<char>('0' + share % 10);
  return out;
}

base::Result<uint32_t> share_of_percent(double percent) {
  const double share = std::round(percent * 100);
  if (!(percent >= 0 && percent <= 100) || std::abs(share - percent * 100) > 1e-6)
    return base::invalid("a weight is a percentage from 0 to 100 with at most two decimals");
  return static_cast<uint32_t>(share);
}

std::string describe(const TrafficPlan& plan, int64_t live) {
  std::string out;
  if (plan.parts.empty()) out = std::to_string(live) + "=100";
  for (const TrafficPart& part : plan.parts)
    out += (out.empty() ? "" : " ") + std::to_string(part.revision) + "=" + percent_text(part.share);
  if (plan.shadow != 0)
    out += "; shadow " + std::to_string(plan.shadow) + " of " + percent_text(plan.shadow_share) + " %";
  if (!plan.sticky.empty()) out += "; sticky by " + plan.sticky;
  for (const TrafficRule& rule : plan.rules) out += "; " + rule.when + " → " + std::to_string(rule.revision);
  if (plan.bandit) out += "; bandit, each at least " + percent_text(plan.bandit->floor) + " %";
  return out;
}

std::string to_json(const TrafficPlan& plan) {
  if (plan == TrafficPlan()) return "";
  std::string out;
  base::JsonWriter json(out);
  json.begin_object().key("parts").begin_array();
  for (const TrafficPart& part : plan.parts)
    json.begin_object().field("revision", part.revision).field("share", static_cast<int64_t>(part.share)).end_object();
  json.end_array().field("shadow", plan.shadow).field("shadow_share", static_cast<int64_t>(plan.shadow_share));
  json.field("sticky", plan.sticky);
  write_more(json, plan);
  json.end_object();
  return out;
}

TrafficPlan plan_of_json(const std::string& text) {
  TrafficPlan plan;
  if (text.empty()) return plan;
  const auto value = base::parse_json(text);
  const auto* object = value ? value->if_object() : nullptr;
  if (!object) return plan;
  const auto number = [](const base::json::object& from, std::string_view key, int64_t fallback) {
    const auto* found = from.if_contains(key);
    return found && found->is_int64() ? found->get_int64() : fallback;
  };
  if (const auto* parts = object->if_contains("parts"); parts && parts->is_array()) {
    for (const auto& entry : parts->get_array()) {
      if (const auto* part = entry.if_object())
        plan.parts.push_back({number(*part, "revision", 0), static_cast<uint32_t>(number(*part, "share", 0))});
    }
  }
  plan.shadow = number(*object, "shadow", 0);
  plan.shadow_share = static_cast<uint32_t>(number(*object, "shadow_share", kWholeShare));
  if (const auto* sticky = object->if_contains("sticky"); sticky && sticky->is_string())
    plan.sticky = sticky->get_string();
  if (const auto* rules = object->if_contains("rules"); rules && rules->is_array()) {
    for (const auto& entry : rules->get_array()) {
      const auto* rule = entry.if_object();
      const auto* when = rule ? rule->if_contains("when") : nullptr;
      if (when && when->is_string())
        plan.rules.push_back({std::string(when->get_string()), number(*rule, "revision", 0)});
    }
  }
  if (const auto* bandit = object->if_contains("bandit"); bandit && bandit->is_object()) {
    const auto& b = bandit->get_object();
    plan.bandit = {.floor = static_cast<uint32_t>(number(b, "floor", 500)),
                   .seed = static_cast<uint64_t>(number(b, "seed", 1)),
                   .every_us = number(b, "every_us", 60'000'000),
                   .since_us = number(b, "since_us", 0)};
  }
  if (const auto* outcome = object->if_contains("outcome"); outcome && outcome->is_string())
    plan.outcome = parse_outcome(std::string_view(outcome->get_string())).value_or(Outcome::kAccuracy);
  return plan;
}

std::string_view name(Outcome outcome) { return kOutcomes[static_cast<size_t>(outcome)]; }
std::optional<Outcome> parse_outcome(std::string_view word) {
  const auto found = std::ranges::find(kOutcomes, word);
  return found == kOutcomes.end() ? std::nullopt : std::optional(static_cast<Outcome>(found - kOutcomes.begin()));
}

uint32_t place_of(std::string_view key, uint64_t salt) {
  uint64_t x = 0xcbf29ce484222325 ^ salt;  // FNV-1a, then mixed: its low bits alone are too regular
  for (const char c : key) x = (x ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  // The high half times the number of places: without a division, and without its bias.
  return static_cast<uint32_t>((mix(x) >> 32) * kWholeShare >> 32);
}

}  // namespace serve
