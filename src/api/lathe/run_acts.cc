#include "api/lathe/run_acts.h"

#include <algorithm>

#include "api/lathe/errors.h"
#include "api/lathe/limits.h"
#include "api/lathe/routes.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "track/artifact_root.h"
#include "track/purge.h"
#include "track/run_acts.h"
#include "track/runs.h"

namespace api::lathe {

namespace {

using base::Result;

constexpr size_t kIdsBody = size_t{1} << 20;
constexpr int64_t kMaxGraceSeconds = int64_t{100} * 366 * 24 * 3600;

Result<std::vector<std::string>> texts(const base::json::object& object, std::string_view field, size_t most) {
  std::vector<std::string> out;
  const base::json::value* list = object.if_contains(field);
  if (!list || list->is_null()) return out;
  if (!list->is_array()) return base::invalid(std::string(field) + " must be a list of ids");
  if (list->as_array().size() > most) {
    return base::invalid(std::string(field) + " has " + std::to_string(list->as_array().size()) + " entries; at most " +
                         std::to_string(most) + " are allowed");
  }
  for (const base::json::value& item : list->as_array()) {
    if (!item.is_string()) return base::invalid(std::string(field) + " must be a list of ids");
    out.emplace_back(item.as_string());
  }
  return out;
}

Result<base::json::object> parse_body(std::string_view body, std::initializer_list<std::string_view> fields) {
  TRY_SET(auto value, base::parse_json(body));
  TRY(base::as_object(value, "the body"));
  for (const auto& field : value.as_object()) {
    if (std::ranges::find(fields, std::string_view(field.key())) != fields.end()) continue;
    std::string allowed;
    for (const std::string_view name : fields) allowed.append(allowed.empty() ? "" : ", ").append(name);
    return base::invalid("unknown field '" + std::string(field.key()) + "'; allowed: " + allowed);
  }
  return std::move(value.as_object());
}

Result<track::RunsInto> parse_into(std::string_view body) {
  TRY_SET(const auto object, parse_body(body, {"runs", "experiment"}));
  track::RunsInto into;
  TRY_SET(into.run_ids, texts(object, "runs", track::kMaxMovedRuns));
  TRY_SET(into.experiment_id, base::required_string(object, "experiment"));
  return into;
}

base::Task<void> move(RunActsDoor door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto into = parse_into(*body);
  if (!into) co_return fail(response, request, into.error());
  const Limits limits = limits_of(request);
  auto act = [&](store::Tx& tx) -> Result<int64_t> {  // a run that goes is gone from where it was
    TRY(check_runs(tx, limits, into->run_ids, base::Level::kWrite));
    TRY(check_experiment(tx, limits, into->experiment_id, base::Level::kEdit));
    return track::move_runs(tx, *into);
  };
  const auto moved = co_await door.store.write(request.ctx, act);
  if (!moved) co_return fail(response, request, moved.error());
  std::string answer;
  base::JsonWriter json(answer);
  json.begin_object().field("moved", *moved).end_object();
  response.send_json(std::move(answer));
}

// Copied rows name the same blobs; their plain files are made here.
base::Task<Result<void>> place_copies(RunActsDoor door, net::Request& request,
                                      const std::vector<track::RunCopy>& copies) {
  if (!door.destination) co_return Result<void>();
  auto list = [&](store::Tx& tx) -> Result<std::vector<blob::Artifact>> {
    std::vector<blob::Artifact> files;
    for (const track::RunCopy& copy : copies) {
      TRY_SET(const track::RunInfo run, track::get_run_info(tx, copy.to));
      const auto path = track::proxied_path(run.artifact_uri);
      if (!path) continue;
      const track::ArtifactPlace place = track::artifact_place(*path);
      for (blob::Artifact& file : blob::list_artifacts(tx, place.root, place.path)) files.push_back(std::move(file));
    }
    TRY(tx.status());
    return files;
  };
  const auto files = co_await door.store.read(request.ctx, list);
  if (!files) co_return std::unexpected(files.error());
  auto put = [&]() -> Result<void> {
    for (const blob::Artifact& file : *files) {
      TRY_SET(const base::Fd fd, door.blobs.open_blob(file.digest));
      TRY(door.destination->put(track::path_of_artifact(file), fd));
    }
    return {};
  };
  co_return co_await door.offload.run(put);
}

base::Task<void> copy(RunActsDoor door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto into = parse_into(*body);
  if (!into) co_return fail(response, request, into.error());
  const Limits limits = limits_of(request);
  auto act = [&](store::Tx& tx) -> Result<std::vector<track::RunCopy>> {
    TRY(check_runs(tx, limits, into->run_ids, base::Level::kRead));
    TRY(check_experiment(tx, limits, into->experiment_id, base::Level::kEdit));
    return track::copy_runs(tx, *into);
  };
  const auto copies = co_await door.store.write(request.ctx, act);
  if (!copies) co_return fail(response, request, copies.error());
  if (const auto placed = co_await place_copies(door, request, *copies); !placed)
    co_return fail(response, request, placed.error());
  std::string answer;
  base::JsonWriter json(answer);
  json.begin_object().key("copies").begin_array();
  for (const track::RunCopy& copy : *copies) {
    json.begin_object().field("from", copy.from).field("to", copy.to).end_object();
  }
  json.end_array().end_object();
  response.send_json(std::move(answer), 201);
}

Result<track::Purge> parse_purge(std::string_view body, int64_t now_us) {
  TRY_SET(const auto object, parse_body(body, {"runs", "experiments", "older_than_s"}));
  track::Purge purge;
  TRY_SET(purge.run_ids, texts(object, "runs", track::kMaxPurgedNames));
  TRY_SET(purge.experiment_ids, texts(object, "experiments", track::kMaxPurgedNames));
  TRY_SET(const auto older_than_s, base::optional_int(object, "older_than_s"));
  if (older_than_s.value_or(0) < 0 || older_than_s.value_or(0) > kMaxGraceSeconds) {
    return base::invalid("older_than_s is " + std::to_string(*older_than_s) + "; allowed: 0 to " +
                         std::to_string(kMaxGraceSeconds));
  }
  // Nothing named and no age: everything that anybody ever deleted. That must be said.
  if (!older_than_s && purge.run_ids.empty() && purge.experiment_ids.empty()) {
    return base::invalid("name runs, experiments or older_than_s (0: all that is deleted)");
  }
  purge.deleted_before_ms = now_us / 1000 - older_than_s.value_or(0) * 1000;
  return purge;
}

base::Task<Result<void>> remove_plain(RunActsDoor door, std::vector<std::string> folders) {
  if (!door.destination || folders.empty()) co_return Result<void>();
  auto remove = [&]() -> Result<void> {
    for (const std::string& folder : folders) TRY(door.destination->remove(folder));
    return {};
  };
  co_return co_await door.offload.run(remove);
}

base::Task<void> purge(RunActsDoor door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto wanted = parse_purge(*body, request.ctx.now_us);
  if (!wanted) co_return fail(response, request, wanted.error());
  auto check = [&](store::Tx& tx) { return track::check_purge(tx, *wanted); };
  if (const auto fits = co_await door.store.read(request.ctx, check); !fits) {
    co_return fail(response, request, fits.error());
  }
  auto more_act = [&](store::Tx& tx) { return door.purge_more(tx, *wanted); };
  for (bool more = wanted->run_ids.empty(); more;) {
    const auto step = co_await door.store.write(request.ctx, more_act);
    if (!step) co_return fail(response, request, step.error());
    if (const auto gone = co_await remove_plain(door, step->folders); !gone)
      co_return fail(response, request, gone.error());
    more = step->more;
  }
  track::Purged all;
  auto act = [&](store::Tx& tx) { return track::purge_step(tx, *wanted); };
  do {
    const auto step = co_await door.store.write(request.ctx, act);
    if (!step) co_return fail(response, request, step.error());
    all.runs += step->runs, all.models += step->models;
    all.experiments += step->experiments, all.files += step->files;
    all.more = step->more;
    if (const auto gone = co_await remove_plain(door, step->folders); !gone)
      co_return fail(response, request, gone.error());
  } while (all.more);
  std::string answer;
  base::JsonWriter json(answer);
  json.begin_object().field("runs", all.runs).field("models", all.models);
  json.field("experiments", all.experiments).field("files", all.files).end_object();
  response.send_json(std::move(answer));
}

}  // namespace

void add_run_acts_routes(net::RouteTable& routes, const RunActsDoor& door) {
  using net::Method;
  const auto add = route_adder(routes, door);
  const auto add_guarded = guarded_route_adder(routes, door);
  add_guarded(Method::kPost, "/runs/move", base::Permission::kWrite, {.body_bytes = kIdsBody}, move);
  add_guarded(Method::kPost, "/runs/copy", base::Permission::kWrite, {.body_bytes = kIdsBody}, copy);
  add(Method::kPost, "/runs/purge", base::Permission::kAdmin, {.body_bytes = kIdsBody, .deadline_us = 0}, purge);
}

}  // namespace api::lathe
