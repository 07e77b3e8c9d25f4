#include "api/lathe/planes_json.h"

#include <algorithm>

#include "core/event_text.h"

namespace api::lathe {

std::vector<PlaneFacts> plane_facts(store::Tx& tx) {
  std::vector<PlaneFacts> out;
  for (plane::Plane& plane : plane::list_planes(tx)) {
    auto endpoints = plane::lag_of(tx, plane);
    out.push_back({std::move(plane), std::move(endpoints)});
  }
  return out;
}

void write_planes(base::JsonWriter& json, const std::vector<PlaneFacts>& planes, int64_t now_us) {
  json.begin_array();
  for (const auto& [plane, endpoints] : planes) {
    const plane::Report& report = plane.report;
    const bool connected = now_us - plane.seen_us < plane::kSilentUs;
    json.begin_object().field("id", plane.id).field("name", report.name).field("version", report.version);
    json.field("address", report.address).field("principal", plane.principal).field("started_us", report.started_us);
    json.field("seen_us", plane.seen_us).field("connected", connected);
    json.field("current", std::ranges::all_of(endpoints, &plane::EndpointLag::current));
    json.field("position", core::to_text(report.position));
    json.key("captures_waiting_since_us");
    report.captures_waiting_since_us ? json.value(*report.captures_waiting_since_us) : json.null();
    json.key("certificate_ends_us");
    report.certificate_ends_us ? json.value(*report.certificate_ends_us) : json.null();
    json.field("captures_sent", report.captures_sent).field("captures_lost", report.captures_lost);
    json.key("endpoints").begin_array();
    for (const plane::EndpointLag& lag : endpoints) {
      json.begin_object().field("name", lag.applied.name).field("revision", lag.applied.revision);
      json.field("generation", lag.applied.generation).field("wanted_revision", lag.revision);
      json.field("wanted_generation", lag.generation).field("current", lag.current());
      if (!lag.applied.problem.empty()) json.field("problem", lag.applied.problem);
      json.end_object();
    }
    json.end_array().end_object();
  }
  json.end_array();
}

}  // namespace api::lathe
