#include "api/lathe/data.h"

#include <algorithm>

#include "api/lathe/errors.h"
#include "api/lathe/routes.h"
#include "base/json.h"
#include "data/data.h"

namespace api::lathe {
namespace {

constexpr size_t kVersionBody = size_t{8} << 20;
constexpr size_t kListed = 1000;  // versions in one answer
constexpr size_t kMaxRawFiles = 100'000;
constexpr int64_t kTransferUs = int64_t{3600} * 1'000'000;

void append_version(base::JsonWriter& json, const data::DataVersion& version) {
  json.begin_object().field("id", version.id).field("name", version.name).field("number", version.number);
  json.field("created_us", version.created_us).field("label", version.label);
  json.key("features").begin_array();
  for (const auto& feature : version.features) json.value(feature);
  json.end_array().key("rows").begin_object();
  for (const auto& [part, rows] : version.rows) json.field(part, rows);
  json.end_object().key("source").raw(version.source);
}

// --- making one -----------------------------------------------------------------------------------------------------

base::Result<blob::Artifact> parse_file(const base::json::value& value) {
  TRY_SET(const auto* file, base::as_object(value, "a file"));
  blob::Artifact artifact;
  TRY_SET(artifact.path, base::required_string(*file, "path"));
  TRY_SET(artifact.size, base::required_int(*file, "size"));
  TRY_SET(const std::string digest, base::required_string(*file, "digest"));
  TRY_SET(artifact.digest, base::Digest::from_hex(base::HashAlgo::kSha256, digest));
  return artifact;
}

base::Result<std::vector<std::string>> parse_strings(const base::json::object& object, std::string_view key,
                                                     size_t most) {
  std::vector<std::string> out;
  if (!object.contains(key)) return out;
  TRY_SET(const auto* list, base::required_array(object, key));
  if (list->size() > most)
    return base::fail(base::Code::kTooLarge,
                      "field '" + std::string(key) + "' has more than " + std::to_string(most) + " entries");
  for (const auto& item : *list) {
    if (!item.is_string())
      return base::invalid("field '" + std::string(key) + "' must hold strings, found " +
                           std::string(base::kind_name(item.kind())));
    out.emplace_back(item.get_string());
  }
  return out;
}

base::Result<data::NewDataVersion> parse_version(std::string_view name, const std::string& body) {
  TRY_SET(const auto document, base::parse_json(body));
  TRY_SET(const auto* object, base::as_object(document, "the body"));
  data::NewDataVersion version;
  version.name = name;
  TRY_SET(const auto label, base::optional_string(*object, "label"));
  version.label = label.value_or("");
  TRY_SET(version.features, parse_strings(*object, "features", data::kMaxFeatures));
  TRY_SET(version.raw_files, parse_strings(*object, "raw_files", kMaxRawFiles));
  TRY_SET(const auto base_version, base::optional_string(*object, "base_version"));
  version.base_version = base_version.value_or("");
  if (object->contains("rows")) {
    TRY_SET(const auto* rows, base::required_object(*object, "rows"));
    for (const auto& [part, value] : *rows) {
      TRY_SET(version.rows[part], base::required_int(*rows, part));
    }
  }
  if (object->contains("source")) {
    TRY_SET(const auto* source, base::required_object(*object, "source"));
    version.source = base::to_text(*source);
  }
  TRY_SET(const auto* files, base::required_array(*object, "files"));
  if (files->size() > data::kMaxVersionFiles)
    return base::fail(base::Code::kTooLarge, "more than " + std::to_string(data::kMaxVersionFiles) + " files");
  for (const auto& value : *files) {
    TRY_SET(auto file, parse_file(value));
    version.files.push_back(std::move(file));
  }
  return version;
}

base::Task<void> post_version(DataDoor door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto wanted = parse_version(request.param("name"), *body);
  if (!wanted) co_return fail(response, request, wanted.error());
  const auto present = co_await door.blobs.offload.run([&] { return check_uploaded(door.blobs.blobs, wanted->files); });
  if (!present) co_return fail(response, request, present.error());
  const auto version =
      co_await door.store.write(request.ctx, [&](store::Tx& tx) { return data::create_version(tx, *wanted); });
  if (!version) co_return fail(response, request, version.error());
  std::string out;
  base::JsonWriter json(out);
  append_version(json, *version);
  json.end_object();
  response.send_json(std::move(out), 201);
}

// --- looking --------------------------------------------------------------------------------------------------------

base::Task<void> send_list(DataDoor door, net::Request& request, net::Response& response, std::string key,
                           std::function<base::Result<std::vector<data::DataVersion>>(store::Tx&)> read) {
  const auto versions = co_await door.store.read(request.ctx, read);
  if (!versions) co_return fail(response, request, versions.error());
  std::string out;
  base::JsonWriter json(out);
  json.begin_object().key(key).begin_array();
  for (const auto& version : *versions) {
    append_version(json, version);
    json.end_object();
  }
  json.end_array().end_object();
  response.send_json(std::move(out));
}

base::Task<void> get_data(DataDoor door, net::Request& request, net::Response& response) {
  return send_list(door, request, response, "data", [](store::Tx& tx) -> base::Result<std::vector<data::DataVersion>> {
    auto newest = data::list_newest(tx);
    TRY(tx.status());
    return newest;
  });
}

base::Task<void> get_versions(DataDoor door, net::Request& request, net::Response& response) {
  return send_list(
      door, request, response, "versions",
      [name = std::string(request.param("name"))](store::Tx& tx) -> base::Result<std::vector<data::DataVersion>> {
        auto versions = data::list_versions(tx, name, kListed);
        TRY(tx.status());
        if (versions.empty()) return base::not_found("no data set '" + name + "' has been prepared");
        return versions;
      });
}

struct Whole {
  data::DataVersion version;
  std::vector<blob::Artifact> files;
};
base::Task<base::Result<Whole>> find(DataDoor door, net::Request& request) {
  auto read = [&request](store::Tx& tx) -> base::Result<Whole> {
    Whole whole;
    TRY_SET(whole.version, data::find_version(tx, request.param("name"), request.param("id")));
    whole.files = data::version_files(tx, whole.version.id);
    TRY(tx.status());
    return whole;
  };
  co_return co_await door.store.read(request.ctx, read);
}

base::Task<void> get_version(DataDoor door, net::Request& request, net::Response& response) {
  const auto whole = co_await find(door, request);
  if (!whole) co_return fail(response, request, whole.error());
  std::string out;
  base::JsonWriter json(out);
  append_version(json, whole->version);
  json.key("files").begin_array();
  for (const auto& file : whole->files) {
    json.begin_object()
        .field("path", file.path)
        .field("digest", file.digest.hex())
        .field("size", file.size)
        .end_object();
  }
  json.end_array().end_object();
  response.send_json(std::move(out));
}

base::Task<void> get_file(DataDoor door, net::Request& request, net::Response& response) {
  const auto whole = co_await find(door, request);
  if (!whole) co_return fail(response, request, whole.error());
  const std::string path(request.param("path"));
  const auto file = std::ranges::find(whole->files, path, &blob::Artifact::path);
  if (file == whole->files.end()) {
    std::string known;
    for (const auto& f : whole->files) known += (known.empty() ? "" : ", ") + f.path;
    co_return fail(response, request,
                   {base::Code::kNotFound, "the version has no file '" + path + "'; it has " + known});
  }
  const std::string type = path.ends_with(".json")  ? "application/json"
                           : path.ends_with(".csv") ? "text/csv; charset=utf-8"
                                                    : "application/octet-stream";
  co_await send_blob(door.blobs, file->digest, type, request, response);
}

}  // namespace

void add_data_routes(net::RouteTable& routes, const DataDoor& door) {
  using net::Method;
  const auto add = route_adder(routes, door);
  const net::RouteLimits no_body{.body_bytes = 0};
  add(Method::kGet, "/data", base::Permission::kRead, no_body, get_data);
  add(Method::kGet, "/data/{name}/versions", base::Permission::kRead, no_body, get_versions);
  add(Method::kPost, "/data/{name}/versions", base::Permission::kWrite, {.body_bytes = kVersionBody}, post_version);
  add(Method::kGet, "/data/{name}/versions/{id}", base::Permission::kRead, no_body, get_version);
  add(Method::kGet, "/data/{name}/versions/{id}/files/{path...}", base::Permission::kRead,
      {.body_bytes = 0, .deadline_us = kTransferUs}, get_file);
}

}  // namespace api::lathe
