// Artifacts: the proxy that the stock client uploads to and downloads from, and the listings and downloads by run,
// logged model and model version. Bodies are streamed both ways; a file appears, whole, when its row is written.
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <memory>
#include <vector>

#include "api/mlflow/artifact_tree.h"
#include "api/mlflow/door.h"
#include "api/mlflow/media_type.h"
#include "api/mlflow/receive.h"
#include "blob/s3_store.h"
#include "net/access.h"
#include "net/pieces.h"
#include "track/artifact_root.h"
#include "track/models.h"
#include "track/registered.h"
#include "track/runs.h"
#include "track/validate.h"

namespace api::mlflow {

using base::JsonWriter;
using base::Result;
using net::Method;
using store::Tx;

namespace {

constexpr size_t kSmallUpload = size_t{10} << 20;  // of upload-artifact, as upstream
constexpr int64_t kPresignedSeconds = 300;         // as upstream
constexpr int64_t kTransferUs = 0;  // no deadline; a stalled peer is closed by the connection's own limits

// --- listings -------------------------------------------------------------------------------------------------------

struct Listing {
  std::string root_uri;  // "" for the proxy's own listing
  std::string below;     // put before each name: paths are relative to the root
  std::vector<Entry> entries;
};

void render_listing(JsonWriter& json, const Listing& listing) {
  if (!listing.root_uri.empty()) json.field("root_uri", listing.root_uri);
  if (listing.entries.empty()) return;
  json.key("files").begin_array();
  for (const Entry& entry : listing.entries) {
    json.begin_object().field("path", listing.below.empty() ? entry.name : listing.below + "/" + entry.name);
    json.field("is_dir", entry.is_dir);
    if (!entry.is_dir) json.field("file_size", entry.size);
    json.end_object();
  }
  json.end_array();
}

Result<Listing> list_below(Tx& tx, const Places& places, const std::string& uri, const std::string& relative) {
  TRY_SET(const Spot spot, spot_of(places, uri, relative));
  TRY_SET(const std::string below, safe_path(relative));
  TRY_SET(auto entries, list_spot(tx, places, spot));
  return Listing{uri, below, std::move(entries)};
}

struct Where {
  std::string id;
  std::string path;
};

// --- downloads ------------------------------------------------------------------------------------------------------

struct Range {
  uint64_t first = 0;
  uint64_t length = 0;
  bool partial = false;
};

bool number(std::string_view text, uint64_t& out) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  return !text.empty() && failed == std::errc() && end == text.data() + text.size();
}

// One range of "bytes=first-last", "bytes=first-" or "bytes=-count". Anything else, several ranges too, is the whole
// file, as the standard allows; nullopt when the range lies beyond the file.
std::optional<Range> parse_range(std::string_view header, uint64_t size) {
  const Range whole{0, size, false};
  if (!header.starts_with("bytes=") || header.find(',') != header.npos) return whole;
  header.remove_prefix(6);
  const size_t dash = header.find('-');
  if (dash == header.npos) return whole;
  const std::string_view from = header.substr(0, dash), to = header.substr(dash + 1);
  uint64_t first = 0, last = 0;
  if (from.empty()) {
    if (!number(to, last)) return whole;
    if (last == 0 || size == 0) return std::nullopt;
    const uint64_t count = std::min(last, size);
    return Range{size - count, count, true};
  }
  if (!number(from, first)) return whole;
  if (to.empty()) {
    last = size ? size - 1 : 0;
  } else if (!number(to, last) || last < first) {
    return whole;
  }
  if (first >= size) return std::nullopt;
  return Range{first, std::min(last, size - 1) - first + 1, true};
}

}  // namespace

base::Task<void> send_file(Shared shared, net::Request& request, net::Response& response, blob::Artifact file) {
  base::Fd plain;
  if (file.location == blob::Location::kPlainFolder) {
    auto open_plain = [&]() -> Result<base::Fd> {
      const auto& folder = file.address == "local" ? shared.places->local : shared.places->destination;
      TRY_SET(base::Fd fd, folder->open_file(file.path));
      struct stat info{};
      if (::fstat(fd.get(), &info) != 0) return base::errno_error("looking at a file", errno);
      file.size = info.st_size;
      return fd;
    };
    auto opened = co_await shared.offload->run(open_plain);
    if (!opened) co_return fail(response, opened.error());
    plain = std::move(*opened);
  } else if (file.location != blob::Location::kBlob) {
    co_return fail(response, {base::Code::kUnsupported, "this artifact is not in the server's own store"});
  }
  const auto size = static_cast<uint64_t>(file.size);
  const std::string name = file.path.substr(file.path.rfind('/') + 1);
  const auto range = parse_range(request.header("range"), size);
  response.header("Accept-Ranges", "bytes");
  if (!range) {
    response.header("Content-Range", "bytes */" + std::to_string(size));
    response.send(416, "text/plain", "the range lies beyond the file's " + std::to_string(size) + " bytes\n");
    co_return;
  }
  auto open = [&]() -> Result<blob::BlobStore::Source> {
    if (plain) return blob::BlobStore::Source{std::move(plain), nullptr};
    return shared.blobs->open_range(file.digest, range->first, range->length);
  };
  auto source = co_await shared.offload->run(open);
  if (!source) co_return fail(response, source.error());
  const std::string_view type = media_type(name);
  response.header("Content-Disposition", attachment_header(name));
  // A page that somebody logged must not act with the viewer's rights.
  if (runs_scripts(type)) response.header("Content-Security-Policy", "sandbox; frame-ancestors 'self'");
  if (file.location == blob::Location::kBlob) response.header("ETag", "\"" + file.digest.hex() + "\"");
  if (range->partial) {
    response.header("Content-Range", "bytes " + std::to_string(range->first) + "-" +
                                         std::to_string(range->first + range->length - 1) + "/" + std::to_string(size));
  }
  // The answer has begun: from here on a failure can only end the connection.
  if (!co_await response.begin(range->partial ? 206 : 200, type, range->length)) co_return;
  if (source->reader) {
    auto next = [&] { return source->reader->next(); };
    if (!co_await net::send_pieces(response, *shared.offload, next)) co_return;
  } else if (range->length > 0 && !co_await response.send_file(source->fd.get(), range->first, range->length)) {
    co_return;
  }
  (void)co_await response.end();
}

namespace {

// Finds the file in a read transaction, then streams it.
template <class Find>
net::Handler download(Shared shared, Find find) {
  return [shared, find](net::Request& request, net::Response& response) -> base::Task<void> {
    Args args(request);
    const auto where = find.parse(args);
    if (args.error()) co_return fail(response, *args.error());
    auto job = [&](Tx& tx) { return find.file(tx, *shared.places, where); };
    auto file = co_await shared.store->read(request.ctx, job);
    if (!file) co_return fail(response, file.error());
    co_await send_file(shared, request, response, std::move(*file));
  };
}

struct ByProxyPath {
  Where parse(Args& args) const { return {"", args.path_param("path")}; }
  Result<blob::Artifact> file(Tx& tx, const Places& places, const Where& where) const {
    TRY_SET(std::string path, safe_path(where.path));
    return find_spot(tx, places, {false, std::move(path)});
  }
};

struct ByRun {
  Where parse(Args& args) const {
    Where where{args.run_id(), ""};
    where.path = args.required_text("path");
    return where;
  }
  Result<blob::Artifact> file(Tx& tx, const Places& places, const Where& where) const {
    TRY_SET(const track::RunInfo run, track::get_run_info(tx, where.id));
    TRY_SET(const Spot spot, spot_of(places, run.artifact_uri, where.path));
    return find_spot(tx, places, spot);
  }
};

struct ByVersion {
  struct In {
    std::string name, version, path;
  };
  In parse(Args& args) const {
    return {args.required_text("name"), args.required_text("version"), args.required_text("path")};
  }
  Result<blob::Artifact> file(Tx& tx, const Places& places, const In& in) const {
    TRY_SET(const int64_t number, track::parse_version(in.version));
    TRY_SET(const track::ModelVersion version, track::get_model_version(tx, in.name, number));
    TRY_SET(const std::string path, safe_path(in.path));
    if (!version.artifact_root.empty()) return blob::get_artifact(tx, version.artifact_root, path);
    // Files that are no uploads of this server's, in a folder that the configuration names.
    TRY_SET(const Spot spot, spot_of(places, version.storage_uri, path));
    return find_spot(tx, places, spot);
  }
};

struct ByModel {
  Where parse(Args& args) const { return {args.path_param("model_id"), args.required_text("artifact_file_path")}; }
  Result<blob::Artifact> file(Tx& tx, const Places& places, const Where& where) const {
    TRY_SET(const track::Model model, track::get_model(tx, where.id));
    TRY_SET(const Spot spot, spot_of(places, model.info.artifact_uri, where.path));
    return find_spot(tx, places, spot);
  }
};

// --- uploads --------------------------------------------------------------------------------------------------------

net::Handler upload(Shared shared) {
  return [shared](net::Request& request, net::Response& response) -> base::Task<void> {
    const auto path = safe_path(request.param("path"));
    if (!path) co_return fail(response, path.error());
    if (path->empty()) co_return fail(response, {base::Code::kInvalid, "Invalid path"});
    const auto info = co_await receive(shared, request);
    if (!info) co_return fail(response, info.error());
    auto job = [&](Tx& tx) { return put_file(tx, *path, *info); };
    const auto stored = co_await shared.store->write(request.ctx, job);
    if (!stored) co_return fail(response, stored.error());
    if (const auto settled = co_await settle_plain(shared, request, *path); !settled)
      co_return fail(response, settled.error());
    response.send_json("{}");
  };
}

// What the browser's pages send: one small file of a run.
net::Handler upload_to_run(Shared shared) {
  return [shared](net::Request& request, net::Response& response) -> base::Task<void> {
    const std::string run_id = request.query_value("run_uuid").value_or("");
    const std::string given = request.query_value("path").value_or("");
    const auto missing = [&](std::string_view what) {
      fail(response, {base::Code::kInvalid, "Request must specify " + std::string(what) + "."});
    };
    if (run_id.empty()) co_return missing("run_uuid");
    if (given.empty()) co_return missing("path");
    auto find = [&](Tx& tx) -> Result<std::string> {
      TRY_SET(const track::RunInfo run, track::get_run_info(tx, run_id));
      TRY_SET(Spot spot, spot_of(*shared.places, run.artifact_uri, given));
      if (spot.local) return base::invalid("The run's clients write to " + run.artifact_uri + " themselves.");
      return std::move(spot.path);
    };
    const auto path = co_await shared.store->read(request.ctx, find);
    if (!path) co_return fail(response, path.error());
    const auto info = co_await receive(shared, request);
    if (!info) co_return fail(response, info.error());
    if (info->size == 0) co_return missing("data");
    auto job = [&](Tx& tx) { return put_file(tx, *path, *info); };
    const auto stored = co_await shared.store->write(request.ctx, job);
    if (!stored) co_return fail(response, stored.error());
    if (const auto settled = co_await settle_plain(shared, request, *path); !settled)
      co_return fail(response, settled.error());
    response.send_json("{}");
  };
}

net::Handler remove(Shared shared) {
  return [shared](net::Request& request, net::Response& response) -> base::Task<void> {
    const auto path = safe_path(request.param("path"));
    if (!path) co_return fail(response, path.error());
    if (path->empty()) co_return fail(response, {base::Code::kInvalid, "Invalid path"});
    auto job = [&](Tx& tx) { return delete_tree(tx, *path); };
    const auto gone = co_await shared.store->write(request.ctx, job);
    if (!gone) co_return fail(response, gone.error());
    if (shared.places->destination) {
      auto work = [&] { return shared.places->destination->remove(*path); };
      if (const auto removed = co_await shared.offload->run(work); !removed) co_return fail(response, removed.error());
    }
    response.send_json("{}");
  };
}

// Where the client may fetch a file in pieces, many at once: from the bucket itself, or else here.
net::Handler presign(Shared shared) {
  return [shared](net::Request& request, net::Response& response) -> base::Task<void> {
    const auto path = safe_path(request.param("path"));
    if (!path) co_return fail(response, path.error());
    auto job = [&](Tx& tx) { return find_spot(tx, *shared.places, {false, *path}); };
    const auto file = co_await shared.store->read(request.ctx, job);
    if (!file) co_return fail(response, file.error());
    std::string body;
    JsonWriter json(body);
    json.begin_object();
    auto sign = [&]() -> Result<std::string> {
      if (file->location != blob::Location::kBlob) return base::fail(base::Code::kUnsupported, "");
      return blob::presigned(*shared.blobs, file->digest, kPresignedSeconds);
    };
    const auto signed_url = co_await shared.offload->run(sign);
    if (!signed_url && signed_url.error().code != base::Code::kUnsupported)
      co_return fail(response, signed_url.error());
    if (signed_url) {
      json.field("url", *signed_url).key("headers").begin_object().end_object();
    } else {  // the client fetches without its own credentials: it gets back what it sent
      std::string url = net::origin_of_server(request).append("/api/2.0/mlflow-artifacts/artifacts");
      for (size_t at = 0; at <= path->size();) {
        const size_t slash = std::min(path->find('/', at), path->size());
        url.append("/").append(net::percent_encode(std::string_view(*path).substr(at, slash - at)));
        at = slash + 1;
      }
      json.field("url", url).key("headers").begin_object();
      for (const char* name : {"authorization", "x-mlflow-workspace"})
        if (const auto value = request.header(name); !value.empty()) json.field(name, value);
      json.end_object();
    }
    json.field("file_size", file->size).end_object();
    response.header("Cache-Control", "no-store");
    response.send_json(std::move(body));
  };
}

}  // namespace

void add_artifact_routes(Door& door) {
  const Shared shared = shared_of(door);
  const net::RouteLimits streamed{.body_bytes = base::limits::kUploadBody, .deadline_us = kTransferUs};
  const net::RouteLimits no_body{.body_bytes = 0, .deadline_us = kTransferUs};
  const auto read = base::Permission::kRead;

  door.add(Method::kPut, "mlflow-artifacts/artifacts/{path...}", base::Permission::kWrite, streamed, upload(shared));
  door.add(Method::kGet, "mlflow-artifacts/artifacts/{path...}", read, no_body, download(shared, ByProxyPath{}));
  door.add(Method::kGet, "mlflow-artifacts/presigned/{path...}", read, no_body, presign(shared));
  door.add(Method::kDelete, "mlflow-artifacts/artifacts/{path...}", base::Permission::kWrite, {.body_bytes = kCallBody},
           remove(shared));
  const auto places = shared.places;
  door.read(
      Method::kGet, "mlflow-artifacts/artifacts", [](Args& args) { return args.text("path"); },
      [places](Tx& tx, const std::string& given) -> Result<Listing> {
        TRY_SET(std::string path, safe_path(given));
        TRY_SET(auto entries, list_spot(tx, *places, {false, std::move(path)}));
        return Listing{"", "", std::move(entries)};
      },
      render_listing);

  door.read(
      Method::kGet, "artifacts/list", [](Args& args) -> Where { return {args.run_id(), args.text("path")}; },
      [places](Tx& tx, const Where& where) -> Result<Listing> {
        TRY_SET(const track::RunInfo run, track::get_run_info(tx, where.id));
        return list_below(tx, *places, run.artifact_uri, where.path);
      },
      render_listing);
  door.read(
      Method::kGet, "logged-models/{model_id}/artifacts/directories",
      [](Args& args) -> Where { return {args.path_param("model_id"), args.text("artifact_directory_path")}; },
      [places](Tx& tx, const Where& where) -> Result<Listing> {
        TRY_SET(const track::Model model, track::get_model(tx, where.id));
        return list_below(tx, *places, model.info.artifact_uri, where.path);
      },
      render_listing);
  door.add(Method::kGet, "logged-models/{model_id}/artifacts/files", read, no_body, download(shared, ByModel{}));
  door.add(Method::kPost, "upload-artifact", base::Permission::kWrite, {.body_bytes = kSmallUpload},
           upload_to_run(shared));
  door.add(Method::kGet, "/get-artifact", read, no_body, download(shared, ByRun{}));
  door.add(Method::kGet, "/model-versions/get-artifact", read, no_body, download(shared, ByVersion{}));
}

}  // namespace api::mlflow
