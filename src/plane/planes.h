// Planes as their control plane knows them: one row each, written by what the plane reports of itself, and read by
// people who want to know whether a promotion has arrived everywhere. Thread: values and functions on a Tx.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/event.h"
#include "store/tx.h"

namespace plane {

inline constexpr int64_t kReportUs = 10'000'000;       // a plane reports at least so often
inline constexpr int64_t kSilentUs = 30'000'000;       // one that did not report for so long counts as away
inline constexpr size_t kMaxPlanes = 1000;             // of all projects
inline constexpr size_t kMaxReport = size_t{4} << 20;  // bytes of JSON

// What of an endpoint the plane answers with.
struct AppliedEndpoint {
  std::string name;
  int64_t revision = 0;
  int64_t generation = 0;
  std::string problem;  // why it does not serve, or why it still serves an older revision; "": nothing
};

struct Report {
  std::string name;  // for people: the machine's
  std::string version;
  std::string address;
  int64_t started_us = 0;
  std::optional<uint16_t> writer;  // that it has been given before; a row that was forgotten is made anew with it
  core::EventPosition position;    // all events up to it have been acted on
  std::vector<AppliedEndpoint> endpoints;
  int64_t captures_sent = 0;                         // requests, since it started
  int64_t captures_lost = 0;                         // that its spool could not keep, or the control plane refused
  std::optional<int64_t> captures_waiting_since_us;  // when the oldest that is still to be sent was answered
  std::optional<int64_t> certificate_ends_us;        // the first of its certificates to end
};
std::string to_json(const Report& report);
base::Result<Report> report_of_json(std::string_view text);

struct Plane {
  std::string id;  // "pn_…"
  std::string principal;
  uint16_t writer = 0;
  int64_t seen_us = 0;
  Report report;
};

// The row of the plane `id` as of now, made at its first report with a writer's number that nobody has (`own` is this
// server's). A plane belongs to the principal who first reported it: kForbidden for another.
base::Result<Plane> record_report(store::Tx& tx, std::string_view id, const Report& report, uint16_t own_writer);
base::Result<Plane> get_plane(store::Tx& tx, std::string_view id);
std::vector<Plane> list_planes(store::Tx& tx);  // of the project, by name
base::Result<void> forget_plane(store::Tx& tx, std::string_view id);

// A plane beside what the project's endpoints are now.
struct EndpointLag {
  AppliedEndpoint applied;               // revision 0: it does not have the endpoint
  int64_t revision = 0, generation = 0;  // as they are here; 0: the endpoint is not here
  bool current() const { return applied.generation == generation && applied.revision == revision; }
};
std::vector<EndpointLag> lag_of(store::Tx& tx, const Plane& plane);

}  // namespace plane
