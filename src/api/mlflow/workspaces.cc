// MLflow's workspaces are our projects: the client asks for them by name and sends X-MLFLOW-WORKSPACE with each call.
// They have a name only; an administrator of the server makes them.
#include <algorithm>

#include "api/mlflow/door.h"
#include "core/audit.h"
#include "core/event.h"
#include "core/project.h"
#include "core/users.h"
#include "net/access.h"
#include "track/experiments.h"

namespace api::mlflow {

namespace {

using base::JsonWriter;
using base::Result;
using store::Tx;

constexpr net::RouteLimits kSmall{.body_bytes = 64 << 10};

struct Place {
  store::Store* store;
  std::string artifact_root;  // of a new project's Default experiment
};

// Who rules the server sees all; others the one that this request is in.
Result<std::vector<std::string>> visible(Tx& tx, const net::Grant& grant) {
  std::vector<std::string> names;
  for (const core::Project& project : core::list_projects(tx)) {
    if (grant.rules_server || project.id == grant.project) names.push_back(project.name);
  }
  TRY(tx.status());
  return names;
}

void write_workspace(JsonWriter& json, std::string_view name) { json.begin_object().field("name", name).end_object(); }

base::Task<void> list(Place place, net::Request& request, net::Response& response) {
  const auto names = co_await place.store->read(request.ctx, [&](Tx& tx) { return visible(tx, *request.grant); });
  if (!names) co_return fail(response, names.error());
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("workspaces").begin_array();
  for (const std::string& name : *names) write_workspace(json, name);
  json.end_array().end_object();
  response.send_json(std::move(body));
}

void send_one(net::Response& response, std::string_view name, int status) {
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("workspace");
  write_workspace(json, name);
  json.end_object();
  response.send_json(std::move(body), status);
}

base::Task<void> get(Place place, net::Request& request, net::Response& response) {
  const std::string name(request.param("name"));
  const auto names = co_await place.store->read(request.ctx, [&](Tx& tx) { return visible(tx, *request.grant); });
  if (!names) co_return fail(response, names.error());
  if (std::ranges::find(*names, name) == names->end()) {
    co_return fail(response, {base::Code::kNotFound, "Workspace '" + name + "' not found"});
  }
  send_one(response, name, 200);
}

base::Task<void> create(Place place, net::Request& request, net::Response& response) {
  Args args(request);
  auto body = co_await request.read_body();
  if (!body) co_return fail(response, body.error());
  args.take_body(*body);
  const std::string name = args.required_text("name");
  if (args.error()) co_return fail(response, *args.error());
  base::Context ctx = request.ctx;
  ctx.project = core::kServerProject;
  auto make = [&](Tx& tx) -> Result<void> {
    tx.lock("projects", "");
    if (core::get_project(tx, name))
      return base::fail(base::Code::kAlreadyExists, "Workspace '" + name + "' already exists.");
    TRY(tx.status());
    TRY_SET(const core::Project project, core::ensure_project(tx, name));
    TRY(track::ensure_default_experiment(tx, project.id, place.artifact_root));
    core::emit(tx, "project.added", "project", name);
    core::audit(tx, "project.added", "project", name);
    return tx.status();
  };
  const auto made = co_await place.store->write(ctx, make);
  if (!made) co_return fail(response, made.error());
  send_one(response, name, 201);
}

base::Task<void> refuse(std::string_view what, net::Response& response) {
  fail(response, {base::Code::kUnsupported, "Workspace " + std::string(what) + " is not supported by this server"});
  co_return;
}

}  // namespace

void add_workspace_routes(Door& door) {
  using net::Method;
  const auto add = [&](Method method, std::string_view path, base::Permission permission, auto handler) {
    const auto scope = permission == base::Permission::kAdmin ? net::Scope::kServer : net::Scope::kProject;
    door.add(
        method, path, permission, kSmall,
        [place = Place{&door.store(), door.options().default_artifact_root}, handler](
            net::Request& request, net::Response& response) { return handler(place, request, response); },
        scope);
  };
  add(Method::kGet, "workspaces", base::Permission::kRead, list);
  add(Method::kGet, "workspaces/{name}", base::Permission::kRead, get);
  add(Method::kPost, "workspaces", base::Permission::kAdmin, create);
  add(Method::kPatch, "workspaces/{name}", base::Permission::kAdmin,
      [](const Place&, net::Request&, net::Response& response) { return refuse("update", response); });
  add(Method::kDelete, "workspaces/{name}", base::Permission::kAdmin,
      [](const Place&, net::Request&, net::Response& response) { return refuse("deletion", response); });
}

}  // namespace api::mlflow
