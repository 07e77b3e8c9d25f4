// Artifacts: the proxy that the stock client uploads to and downloads from, and the listings and downloads by run, logged
// model and model version. Bodies are streamed both ways; a file appears, whole, when its row is written.
#include <charconv>
#include <memory>
#include <vector>

#include "api/mlflow/artifact_tree.h"
#include "api/mlflow/door.h"
#include "api/mlflow/media_type.h"
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

constexpr size_t kChunk = size_t{256} << 10;
constexpr int64_t kTransferUs = 0;  // no deadline; a stalled peer is closed by the connection's own limits

struct Shared {  // what the streaming handlers need; lives in the route table
  store::Store* store;
  blob::BlobStore* blobs;
  net::Offload* offload;
};

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

std::unexpected<base::Error> elsewhere(std::string_view uri) {
  return base::invalid("The artifacts are at " + std::string(uri) +
                       ", which is not in this server's artifact store; ask there.");
}

Result<std::string> path_within(std::string_view uri, std::string_view relative) {
  const auto root = track::proxied_path(uri);
  if (!root) return elsewhere(uri);
  TRY_SET(const std::string below, safe_path(relative));
  if (below.empty()) return *root;
  return root->empty() ? below : *root + "/" + below;
}

Result<Listing> list_below(Tx& tx, const std::string& uri, const std::string& relative) {
  TRY_SET(const std::string path, path_within(uri, relative));
  TRY_SET(const std::string below, safe_path(relative));
  return Listing{uri, below, list_folder(tx, path)};
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

base::Task<void> send_file(Shared shared, net::Request& request, net::Response& response, blob::Artifact file) {
  if (file.location != blob::Location::kBlob) {
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
  auto open = [&] { return shared.blobs->open_blob(file.digest); };
  auto fd = co_await shared.offload->run(open);
  if (!fd) co_return fail(response, fd.error());
  const std::string_view type = media_type(name);
  response.header("Content-Disposition", attachment_header(name));
  response.header("X-Content-Type-Options", "nosniff");
  // A page that somebody logged must not act with the viewer's rights.
  if (runs_scripts(type)) response.header("Content-Security-Policy", "sandbox");
  response.header("ETag", "\"" + file.digest.hex() + "\"");
  if (range->partial) {
    response.header("Content-Range", "bytes " + std::to_string(range->first) + "-" +
                                         std::to_string(range->first + range->length - 1) + "/" + std::to_string(size));
  }
  // The answer has begun: from here on a failure can only end the connection.
  if (!co_await response.begin(range->partial ? 206 : 200, type, range->length)) co_return;
  if (range->length > 0 && !co_await response.send_file(fd->get(), range->first, range->length)) co_return;
  (void)co_await response.end();
}

// Finds the file in a read transaction, then streams it.
template <class Find>
net::Handler download(Shared shared, Find find) {
  return [shared, find](net::Request& request, net::Response& response) -> base::Task<void> {
    Args args(request);
    const auto where = find.parse(args);
    if (args.error()) co_return fail(response, *args.error());
    auto job = [&](Tx& tx) { return find.file(tx, where); };
    auto file = co_await shared.store->read(request.ctx, job);
    if (!file) co_return fail(response, file.error());
    co_await send_file(shared, request, response, std::move(*file));
  };
}

struct ByProxyPath {
  Where parse(Args& args) const { return {"", args.path_param("path")}; }
  Result<blob::Artifact> file(Tx& tx, const Where& where) const {
    TRY_SET(const std::string path, safe_path(where.path));
    return find_file(tx, path);
  }
};

struct ByRun {
  Where parse(Args& args) const {
    Where where{args.run_id(), ""};
    where.path = args.required_text("path");
    return where;
  }
  Result<blob::Artifact> file(Tx& tx, const Where& where) const {
    TRY_SET(const track::RunInfo run, track::get_run_info(tx, where.id));
    TRY_SET(const std::string path, path_within(run.artifact_uri, where.path));
    return find_file(tx, path);
  }
};

struct ByVersion {
  struct In {
    std::string name, version, path;
  };
  In parse(Args& args) const {
    return {args.required_text("name"), args.required_text("version"), args.required_text("path")};
  }
  Result<blob::Artifact> file(Tx& tx, const In& in) const {
    TRY_SET(const int64_t number, track::parse_version(in.version));
    TRY_SET(const track::ModelVersion version, track::get_model_version(tx, in.name, number));
    TRY_SET(const std::string path, safe_path(in.path));
    if (version.artifact_root.empty()) return elsewhere(version.source);
    return blob::get_artifact(tx, version.artifact_root, path);
  }
};

struct ByModel {
  Where parse(Args& args) const { return {args.path_param("model_id"), args.required_text("artifact_file_path")}; }
  Result<blob::Artifact> file(Tx& tx, const Where& where) const {
    TRY_SET(const track::Model model, track::get_model(tx, where.id));
    TRY_SET(const std::string path, path_within(model.info.artifact_uri, where.path));
    return find_file(tx, path);
  }
};

// --- uploads --------------------------------------------------------------------------------------------------------

base::Task<Result<blob::BlobInfo>> receive(Shared shared, net::Request& request) {
  auto begin = [&] { return shared.blobs->begin(); };
  auto writer = co_await shared.offload->run(begin);
  if (!writer) co_return std::unexpected(writer.error());
  std::vector<char> buffer(kChunk);
  for (;;) {
    // Small pieces of the wire are gathered, so that a disk write is worth its hop to another thread.
    size_t filled = 0;
    bool ended = false;
    while (filled < buffer.size() && !ended) {
      auto got = co_await request.read_some({buffer.data() + filled, buffer.size() - filled});
      if (!got) co_return std::unexpected(got.error());
      filled += *got;
      ended = *got == 0;
    }
    if (filled > 0) {
      auto write = [&] { return (*writer)->write({buffer.data(), filled}); };
      if (auto written = co_await shared.offload->run(write); !written) co_return std::unexpected(written.error());
    }
    if (ended) break;
  }
  auto finish = [&] { return (*writer)->finish(); };
  co_return co_await shared.offload->run(finish);
}

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
    response.send_json("{}");
  };
}

}  // namespace

void add_artifact_routes(Door& door) {
  const Shared shared{&door.store(), &door.blobs(), &door.offload()};
  const net::RouteLimits streamed{.body_bytes = base::limits::kUploadBody, .deadline_us = kTransferUs};
  const net::RouteLimits no_body{.body_bytes = 0, .deadline_us = kTransferUs};
  const auto read = base::Permission::kRead;

  door.add(Method::kPut, "mlflow-artifacts/artifacts/{path...}", base::Permission::kWrite, streamed, upload(shared));
  door.add(Method::kGet, "mlflow-artifacts/artifacts/{path...}", read, no_body, download(shared, ByProxyPath{}));
  door.write(Method::kDelete, "mlflow-artifacts/artifacts/{path...}",
             [](Args& args) { return args.path_param("path"); },
             [](Tx& tx, const std::string& given) -> Result<void> {
               TRY_SET(const std::string path, safe_path(given));
               if (path.empty()) return base::invalid("Invalid path");
               return delete_tree(tx, path);
             });
  door.read(Method::kGet, "mlflow-artifacts/artifacts", [](Args& args) { return args.text("path"); },
            [](Tx& tx, const std::string& given) -> Result<Listing> {
              TRY_SET(const std::string path, safe_path(given));
              return Listing{"", "", list_folder(tx, path)};
            },
            render_listing);

  door.read(Method::kGet, "artifacts/list",
            [](Args& args) -> Where { return {args.run_id(), args.text("path")}; },
            [](Tx& tx, const Where& where) -> Result<Listing> {
              TRY_SET(const track::RunInfo run, track::get_run_info(tx, where.id));
              return list_below(tx, run.artifact_uri, where.path);
            },
            render_listing);
  door.read(Method::kGet, "logged-models/{model_id}/artifacts/directories",
            [](Args& args) -> Where { return {args.path_param("model_id"), args.text("artifact_directory_path")}; },
            [](Tx& tx, const Where& where) -> Result<Listing> {
              TRY_SET(const track::Model model, track::get_model(tx, where.id));
              return list_below(tx, model.info.artifact_uri, where.path);
            },
            render_listing);
  door.add(Method::kGet, "logged-models/{model_id}/artifacts/files", read, no_body, download(shared, ByModel{}));
  door.add(Method::kGet, "/get-artifact", read, no_body, download(shared, ByRun{}));
  door.add(Method::kGet, "/model-versions/get-artifact", read, no_body, download(shared, ByVersion{}));
}

}  // namespace api::mlflow
