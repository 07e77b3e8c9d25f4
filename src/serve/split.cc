#include "serve/split.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/json.h"
#include "base/json_writer.h"

namespace serve {
namespace {

bool is_header_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxStickyBytes && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
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
  // The live one first, the others by number.
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
  if (plan.parts.size() == 1) plan.parts.clear();
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
  json.field("sticky", plan.sticky).end_object();
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
  return plan;
}

uint32_t place_of(std::string_view key, uint64_t salt) {
  uint64_t x = 0xcbf29ce484222325 ^ salt;  // FNV-1a, then mixed: its low bits alone are too regular
  for (const char c : key) x = (x ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  // The high half times the number of places: without a division, and without its bias.
  return static_cast<uint32_t>((mix(x) >> 32) * kWholeShare >> 32);
}

}  // namespace serve
