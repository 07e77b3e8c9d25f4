#include "api/lathe/apply.h"

#include <utility>

#include "api/lathe/blobs.h"
#include "api/lathe/errors.h"
#include "api/lathe/routes.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "base/limits.h"
#include "loop/apply.h"
#include "loop/bundle.h"

namespace api::lathe {
namespace {

constexpr net::RouteLimits kManifestBody{.body_bytes = 16 * base::limits::kMiB};

struct BundleRequest {
  std::vector<loop::BundleFile> files;
  std::string commit;
  bool dirty = false;
};

base::Result<loop::BundleFile> parse_file(const base::json::value& value) {
  TRY_SET(const auto* object, base::as_object(value, "an entry of 'files'"));
  loop::BundleFile file;
  TRY_SET(file.path, base::required_string(*object, "path"));
  TRY_SET(const auto digest, base::required_string(*object, "digest"));
  TRY_SET(file.digest, base::Digest::from_hex(base::HashAlgo::kSha256, digest));
  TRY_SET(file.size, base::required_int(*object, "size"));
  TRY_SET(const auto executable, base::optional_bool(*object, "executable"));
  file.executable = executable.value_or(false);
  return file;
}

base::Result<BundleRequest> parse_bundle(std::string_view body) {
  TRY_SET(const auto value, base::parse_json(body));
  TRY_SET(const auto* object, base::as_object(value, "the body"));
  BundleRequest out;
  TRY_SET(const auto* files, base::required_array(*object, "files"));
  for (const auto& entry : *files) {
    TRY_SET(auto file, parse_file(entry));
    out.files.push_back(std::move(file));
  }
  TRY_SET(auto commit, base::optional_string(*object, "commit"));
  out.commit = commit.value_or("");
  TRY_SET(const auto dirty, base::optional_bool(*object, "dirty"));
  out.dirty = dirty.value_or(false);
  TRY(loop::check_bundle(out.files));
  return out;
}

void write_bundle(base::JsonWriter& w, const loop::Bundle& bundle) {
  w.field("bundle", bundle.id)
      .field("commit", bundle.commit)
      .field("dirty", bundle.dirty)
      .field("files", bundle.files)
      .field("bytes", bundle.bytes)
      .field("created_us", bundle.created_us);
}

base::Task<void> post_bundle(const ApplyDoor& door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto wanted = parse_bundle(*body);
  if (!wanted) co_return fail(response, request, wanted.error());
  const auto present = co_await door.offload.run([&] { return check_uploaded(door.blobs, wanted->files); });
  if (!present) co_return fail(response, request, present.error());
  const auto bundle = co_await door.store.write(request.ctx, [&](store::Tx& tx) {
    return loop::create_bundle(tx, wanted->files, wanted->commit, wanted->dirty);
  });
  if (!bundle) co_return fail(response, request, bundle.error());
  std::string out;
  base::JsonWriter w(out);
  w.begin_object();
  write_bundle(w, *bundle);
  w.end_object();
  response.send_json(std::move(out), 201);
}

struct WholeBundle {
  loop::Bundle bundle;
  std::vector<loop::BundleFile> files;
};
base::Result<WholeBundle> read_bundle(store::Tx& tx, std::string_view id) {
  WholeBundle out;
  TRY_SET(out.bundle, loop::get_bundle(tx, id));
  out.files = loop::bundle_files(tx, id);
  return out;
}

base::Task<void> get_bundle(const ApplyDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("id"));
  const auto found = co_await door.store.read(request.ctx, [&](store::Tx& tx) { return read_bundle(tx, id); });
  if (!found) co_return fail(response, request, found.error());
  std::string out;
  base::JsonWriter w(out);
  w.begin_object();
  write_bundle(w, found->bundle);
  w.key("tree").begin_array();
  for (const auto& file : found->files) {
    w.begin_object()
        .field("path", file.path)
        .field("digest", file.digest.hex())
        .field("size", file.size)
        .field("executable", file.executable)
        .end_object();
  }
  w.end_array().end_object();
  response.send_json(std::move(out));
}

void write_settings(base::JsonWriter& w, const std::vector<loop::Setting>& settings) {
  w.key("settings").begin_array();
  for (const auto& s : settings) {
    w.begin_object().field("key", s.key).field("value", s.value);
    if (s.line > 0) w.field("line", s.line);
    w.field("default", s.line == 0).end_object();
  }
  w.end_array();
}

// What each graph of the file is now: a person is told at once what does not fit together.
struct GraphState {
  std::string endpoint, problem;
};

std::string outcome_json(const loop::ApplyOutcome& outcome, bool dry_run, const std::vector<GraphState>& graphs) {
  std::string out;
  base::JsonWriter w(out);
  w.begin_object()
      .field("pipeline", outcome.pipeline)
      .field("generation", outcome.generation)
      .field("dry_run", dry_run)
      .field("first", outcome.first);
  w.key("changes").begin_array();
  for (const auto& c : outcome.changes)
    w.begin_object().field("what", c.what).field("from", c.from).field("to", c.to).end_object();
  w.end_array();
  write_settings(w, outcome.settings);
  w.key("graphs").begin_array();
  for (const auto& graph : graphs)
    w.begin_object().field("endpoint", graph.endpoint).field("problem", graph.problem).end_object();
  w.end_array().key("run");
  if (outcome.run.empty())
    w.null();
  else
    w.value(outcome.run);
  w.end_object();
  return out;
}

base::Result<loop::ApplyRequest> parse_apply(std::string_view body) {
  TRY_SET(const auto value, base::parse_json(body));
  TRY_SET(const auto* object, base::as_object(value, "the body"));
  loop::ApplyRequest out;
  TRY_SET(out.bundle, base::required_string(*object, "bundle"));
  TRY_SET(auto file, base::optional_string(*object, "file"));
  out.file = file.value_or("lathe.yaml");
  TRY_SET(const auto dry_run, base::optional_bool(*object, "dry_run"));
  out.dry_run = dry_run.value_or(false);
  TRY_SET(const auto start_run, base::optional_bool(*object, "start_run"));
  out.start_run = start_run.value_or(true);
  return out;
}

struct ParsedBundle {
  loop::Config config;
  std::string text;
  std::map<std::string, std::string> texts;
};
base::Result<ParsedBundle> parse_bundle_config(blob::BlobStore& blobs, const std::vector<loop::BundleFile>& files,
                                               const std::string& file) {
  ParsedBundle out;
  TRY_SET(out.texts, loop::read_config_texts(blobs, files));
  const auto found = out.texts.find(file);
  if (found == out.texts.end())
    return base::invalid("the bundle has no file '" + file + "'; name another with --file, or create it");
  out.text = found->second;
  TRY_SET(out.config, loop::parse_config(out.text, file, out.texts));
  return out;
}

base::Task<void> post_apply(const ApplyDoor& door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  auto wanted = parse_apply(*body);
  if (!wanted) co_return fail(response, request, wanted.error());
  wanted->artifact_root = door.artifact_root;
  const auto bundle =
      co_await door.store.read(request.ctx, [&](store::Tx& tx) { return read_bundle(tx, wanted->bundle); });
  if (!bundle) co_return fail(response, request, bundle.error());
  const auto parsed =
      co_await door.offload.run([&] { return parse_bundle_config(door.blobs, bundle->files, wanted->file); });
  if (!parsed) co_return fail(response, request, parsed.error());
  const auto outcome = co_await door.store.write(request.ctx, [&](store::Tx& tx) {
    return loop::apply(tx, *wanted, parsed->config, parsed->text, parsed->texts);
  });
  if (!outcome) co_return fail(response, request, outcome.error());
  if (!wanted->dry_run) {  // what capture writes is part of the routes
    const auto refreshed = co_await door.offload.run([&door] { return door.runtime.refresh(); });
    if (!refreshed) co_return fail(response, request, refreshed.error());
  }
  std::vector<GraphState> graphs;
  for (const auto& graph : parsed->config.graphs) {
    const auto live = wanted->dry_run ? nullptr : door.runtime.route(request.ctx.project, graph.name);
    graphs.push_back({graph.name, live ? live->trouble() : ""});
  }
  response.send_json(outcome_json(*outcome, wanted->dry_run, graphs));
}

base::Task<void> get_config(const ApplyDoor& door, net::Request& request, net::Response& response) {
  const auto pipeline = request.query_value("pipeline");
  auto read = [&](store::Tx& tx) -> base::Result<std::vector<loop::Applied>> {
    if (!pipeline) return loop::list_applied(tx);
    TRY_SET(auto one, loop::current_applied(tx, *pipeline));
    if (!one) return base::not_found("there is no project '" + *pipeline + "'; apply its lathe.yaml first");
    return std::vector<loop::Applied>{std::move(*one)};
  };
  const auto all = co_await door.store.read(request.ctx, read);
  if (!all) co_return fail(response, request, all.error());
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().key("projects").begin_array();
  for (const auto& applied : *all) {
    w.begin_object()
        .field("pipeline", applied.pipeline)
        .field("generation", applied.generation)
        .field("bundle", applied.bundle)
        .field("file", applied.file);
    w.field("applied_us", applied.applied_us).field("text", applied.text);
    if (const auto config = loop::config_of(applied)) {
      w.key("environments").begin_array();
      for (const auto& env : config->environments)
        w.begin_object().field("name", env.name).field("endpoint", env.endpoint).end_object();
      w.end_array();
      write_settings(w, config->settings);
    }
    w.end_object();
  }
  w.end_array().end_object();
  response.send_json(std::move(out));
}

base::Task<void> get_schema(net::Response& response) {
  response.send(200, "application/schema+json", loop::config_schema());
  co_return;
}

}  // namespace

void add_apply_routes(net::RouteTable& routes, const ApplyDoor& door) {
  using base::Permission;
  using net::Method;
  const auto add = route_adder(routes, door);
  add(Method::kPost, "/bundles", Permission::kWrite, kManifestBody, post_bundle);
  add(Method::kGet, "/bundles/{id}", Permission::kRead, kNoBody, get_bundle);
  add(Method::kPost, "/apply", Permission::kRunCode, {}, post_apply);
  add(Method::kGet, "/config", Permission::kRead, kNoBody, get_config);
  add(Method::kGet, "/schema", Permission::kRead, kNoBody,
      [](const ApplyDoor&, net::Request&, net::Response& response) { return get_schema(response); });
}

}  // namespace api::lathe
