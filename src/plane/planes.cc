#include "plane/planes.h"

#include <algorithm>

#include "base/json.h"
#include "base/json_writer.h"
#include "core/audit.h"
#include "core/event_text.h"
#include "serve/endpoint.h"

namespace plane {
namespace {

constexpr int64_t kWriters = 1 << 14;
constexpr size_t kMaxText = 200;  // of names, versions, addresses and problems
constexpr std::string_view kSelect = "SELECT id, principal, writer, seen_us, report FROM planes WHERE project = ?";

Plane plane_of(store::Rows& rows) {
  Plane out{.id = rows.str(0), .principal = rows.str(1), .writer = static_cast<uint16_t>(rows.i64(2))};
  out.seen_us = rows.i64(3);
  if (auto report = report_of_json(rows.text(4))) out.report = std::move(*report);
  return out;
}

base::Result<void> check_id(std::string_view id) {
  base::Uuid ignored;
  if (id.starts_with("pn_") && base::from_base32(id.substr(3), ignored)) return {};
  return base::invalid("'" + std::string(id.substr(0, 64)) + "' is not a plane's id (pn_ and 26 characters)");
}

base::Result<uint16_t> new_writer(store::Tx& tx, uint16_t own, std::optional<uint16_t> has) {
  tx.lock("planes", "");
  std::vector<int64_t> taken{own};
  store::Rows rows = tx.query("SELECT writer FROM planes");
  while (rows.next()) taken.push_back(rows.i64(0));
  if (taken.size() > kMaxPlanes)
    return base::fail(base::Code::kConflict, "there are " + std::to_string(kMaxPlanes) +
                                                 " planes already, which is the limit; forget those that are gone");
  if (has) {
    if (std::ranges::find(taken, *has) == taken.end()) return *has;
    return base::fail(base::Code::kConflict, "the plane's writer number " + std::to_string(*has) +
                                                 " is another's here; start it in a new folder (--dir)");
  }
  for (;;) {
    const auto drawn = static_cast<int64_t>(tx.ctx().random->next_u64() % kWriters);
    if (std::ranges::find(taken, drawn) == taken.end()) return static_cast<uint16_t>(drawn);
  }
}

base::Result<std::string> short_text(const base::json::object& object, std::string_view key) {
  TRY_SET(std::string text, base::required_string(object, key));
  if (text.size() > kMaxText) return base::invalid("'" + std::string(key) + "' is longer than 200 bytes");
  return text;
}

}  // namespace

std::string to_json(const Report& report) {
  std::string out;
  base::JsonWriter json(out);
  json.begin_object().field("name", report.name).field("version", report.version).field("address", report.address);
  json.field("started_us", report.started_us).field("position", core::to_text(report.position));
  if (report.writer) json.field("writer", *report.writer);
  if (report.captures_waiting_since_us) json.field("captures_waiting_since_us", *report.captures_waiting_since_us);
  if (report.certificate_ends_us) json.field("certificate_ends_us", *report.certificate_ends_us);
  json.field("captures_sent", report.captures_sent).field("captures_lost", report.captures_lost);
  json.key("endpoints").begin_array();
  for (const AppliedEndpoint& endpoint : report.endpoints) {
    json.begin_object().field("name", endpoint.name).field("revision", endpoint.revision);
    json.field("generation", endpoint.generation).field("problem", endpoint.problem).end_object();
  }
  json.end_array().end_object();
  return out;
}

base::Result<Report> report_of_json(std::string_view text) {
  TRY_SET(const base::json::value value, base::parse_json(text));
  TRY_SET(const base::json::object* object, base::as_object(value, "the report"));
  Report out;
  TRY_SET(out.name, short_text(*object, "name"));
  TRY_SET(out.version, short_text(*object, "version"));
  TRY_SET(out.address, short_text(*object, "address"));
  TRY_SET(out.started_us, base::required_int(*object, "started_us"));
  TRY_SET(const std::string position, base::required_string(*object, "position"));
  TRY_SET(out.position, core::parse_event_position(position));
  TRY_SET(const auto writer, base::optional_int(*object, "writer"));
  if (writer && (*writer < 0 || *writer >= kWriters))
    return base::invalid("'writer' is " + std::to_string(*writer) + "; allowed: 0 to " + std::to_string(kWriters - 1));
  if (writer) out.writer = static_cast<uint16_t>(*writer);
  TRY_SET(out.captures_sent, base::required_int(*object, "captures_sent"));
  TRY_SET(out.captures_lost, base::required_int(*object, "captures_lost"));
  TRY_SET(out.captures_waiting_since_us, base::optional_int(*object, "captures_waiting_since_us"));
  TRY_SET(out.certificate_ends_us, base::optional_int(*object, "certificate_ends_us"));
  TRY_SET(const base::json::array* endpoints, base::required_array(*object, "endpoints"));
  for (const base::json::value& entry : *endpoints) {
    TRY_SET(const base::json::object* endpoint, base::as_object(entry, "an endpoint"));
    AppliedEndpoint applied;
    TRY_SET(applied.name, short_text(*endpoint, "name"));
    TRY_SET(applied.revision, base::required_int(*endpoint, "revision"));
    TRY_SET(applied.generation, base::required_int(*endpoint, "generation"));
    TRY_SET(applied.problem, base::required_string(*endpoint, "problem"));
    applied.problem.resize(std::min(applied.problem.size(), kMaxText * 4));
    out.endpoints.push_back(std::move(applied));
  }
  return out;
}

base::Result<Plane> record_report(store::Tx& tx, std::string_view id, const Report& report, uint16_t own_writer) {
  TRY(check_id(id));
  const std::string& principal = tx.ctx().actor.name;
  const std::string text = to_json(report);
  auto known = get_plane(tx, id);
  if (!known && known.error().code != base::Code::kNotFound) return known;
  if (!known) {
    TRY_SET(const uint16_t writer, new_writer(tx, own_writer, report.writer));
    tx.exec(
        "INSERT INTO planes (project, id, principal, writer, name, started_us, seen_us, report)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        tx.project(), id, principal, writer, report.name, report.started_us, tx.now_us(), text);
    core::audit(tx, "plane.added", "plane", id);
    TRY(tx.status());
    return get_plane(tx, id);
  }
  if (known->principal != principal) {
    return base::fail(base::Code::kForbidden, "the plane " + std::string(id) + " is '" + known->principal +
                                                  "', and this token belongs to '" + principal + "'");
  }
  tx.exec("UPDATE planes SET name = ?, started_us = ?, seen_us = ?, report = ? WHERE project = ? AND id = ?",
          report.name, report.started_us, tx.now_us(), text, tx.project(), id);
  TRY(tx.status());
  return get_plane(tx, id);
}

base::Result<Plane> get_plane(store::Tx& tx, std::string_view id) {
  static const std::string kOne = std::string(kSelect) + " AND id = ?";
  store::Rows rows = tx.query(kOne, tx.project(), id);
  if (rows.next()) return plane_of(rows);
  TRY(tx.status());
  return base::not_found("there is no plane '" + std::string(id.substr(0, 64)) + "' in this project");
}

std::vector<Plane> list_planes(store::Tx& tx) {
  static const std::string kAll = std::string(kSelect) + " ORDER BY name, id";
  std::vector<Plane> out;
  store::Rows rows = tx.query(kAll, tx.project());
  while (rows.next()) out.push_back(plane_of(rows));
  return out;
}

base::Result<void> forget_plane(store::Tx& tx, std::string_view id) {
  TRY(get_plane(tx, id));
  tx.exec("DELETE FROM planes WHERE project = ? AND id = ?", tx.project(), id);
  core::audit(tx, "plane.forgotten", "plane", id);
  return tx.status();
}

std::vector<EndpointLag> lag_of(store::Tx& tx, const Plane& plane) {
  std::vector<EndpointLag> out;
  for (const AppliedEndpoint& applied : plane.report.endpoints) out.push_back({.applied = applied});
  for (const serve::Endpoint& endpoint : serve::list_endpoints(tx)) {
    if (endpoint.live_revision == 0) continue;
    auto found = std::ranges::find_if(out, [&](const EndpointLag& l) { return l.applied.name == endpoint.name; });
    if (found == out.end()) found = out.insert(out.end(), {.applied = {.name = endpoint.name}});
    found->revision = endpoint.live_revision;
    found->generation = endpoint.generation;
  }
  return out;
}

}  // namespace plane
