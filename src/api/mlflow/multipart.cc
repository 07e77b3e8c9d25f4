// Multipart uploads, as MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD has the stock client make them: create answers one URL for
// each part, the parts are PUT there in any order and at once, complete makes them one file, abort drops them. Where
// blobs are at home in a bucket, the URLs are the bucket's own.
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <map>
#include <vector>

#include "api/mlflow/artifact_tree.h"
#include "api/mlflow/door.h"
#include "api/mlflow/presigned.h"
#include "api/mlflow/receive.h"
#include "base/log.h"
#include "blob/s3_store.h"
#include "net/access.h"
#include "track/uploads.h"

namespace api::mlflow {

using base::JsonWriter;
using base::Result;
using net::Method;
using store::Tx;

namespace {

constexpr size_t kCopyBytes = size_t{1} << 20;
constexpr std::string_view kParts = "/api/2.0/mlflow-artifacts/mpu/parts/";
constexpr int64_t kUrlSeconds = track::kUploadUs / 1'000'000;  // a part's, in a bucket: as long as its upload may take

// The folder stands in the URL, the file's name is the last part of what the client calls its path.
Result<std::string> target_path(std::string_view folder, std::string_view file) {
  TRY_SET(const std::string below, safe_path(folder));
  TRY_SET(const std::string name, safe_path(file.substr(file.find_last_of("/\\") + 1)));
  if (name.empty()) return base::invalid("Invalid path");
  return below.empty() ? name : below + "/" + name;
}

// The client PUTs the parts without its own credentials: here it gets back what it sent; a bucket's URLs are signed.
void write_credentials(JsonWriter& json, const net::Request& request, const track::Upload& upload,
                       const std::vector<std::string>& urls) {
  const std::string parts = net::origin_of_server(request).append(kParts).append(upload.id).append("/");
  json.field("upload_id", upload.id).key("credentials").begin_array();
  for (int64_t number = 1; number <= upload.parts; ++number) {
    json.begin_object().field("part_number", number);
    json.field("url", urls.empty() ? parts + std::to_string(number) : urls[static_cast<size_t>(number) - 1]);
    json.key("headers").begin_object();
    for (const char* name : {"authorization", "x-mlflow-workspace"})
      if (const auto value = request.header(name); urls.empty() && !value.empty()) json.field(name, value);
    json.end_object().end_object();
  }
  json.end_array();
}

blob::DirectUploads::Upload direct(const track::Upload& upload) { return {upload.id, upload.remote}; }

// One for each part.
Result<std::vector<std::string>> part_urls(blob::DirectUploads& bucket, const track::Upload& upload) {
  std::vector<std::string> urls(static_cast<size_t>(upload.parts));
  for (size_t i = 0; i < urls.size(); ++i) {
    TRY_SET(urls[i], bucket.part_url(direct(upload), static_cast<int64_t>(i) + 1, kUrlSeconds));
  }
  return urls;
}

// Its file, if any, has been copied; what cannot be removed now, garbage collection finds.
void drop_remote(blob::BlobStore& blobs, const track::Upload& upload) {
  auto* const bucket = blob::direct_uploads(blobs);
  if (bucket == nullptr || upload.remote.empty()) return;
  if (const auto dropped = bucket->drop_upload(direct(upload)); !dropped)
    base::log::warn("a multipart upload was left behind", {{"upload", upload.id}, {"why", dropped.error().message}});
}

struct Completion {
  track::Upload upload;
  std::vector<blob::Artifact> parts;
};

Result<blob::BlobInfo> join_remote(blob::BlobStore& blobs, const track::Upload& upload,
                                   const std::map<int64_t, std::string>& said) {
  auto* const bucket = blob::direct_uploads(blobs);
  if (bucket == nullptr)
    return base::fail(base::Code::kConflict, "the parts of this upload are in a bucket that this server has left");
  std::vector<std::string> etags;
  for (int64_t number = 1; number <= upload.parts; ++number) {
    const auto etag = said.find(number);
    if (etag == said.end() || etag->second.empty())
      return base::invalid("part " + std::to_string(number) + " of " + std::to_string(upload.parts) +
                           " has no ETag among the parts named");
    etags.push_back(etag->second);
  }
  if (static_cast<int64_t>(said.size()) != upload.parts)
    return base::invalid("the upload has " + std::to_string(upload.parts) + " parts, named are " +
                         std::to_string(said.size()));
  return bucket->complete_upload(direct(upload), etags, base::limits::kUploadBody);
}

Result<blob::BlobInfo> join(blob::BlobStore& blobs, const std::vector<blob::Artifact>& parts) {
  TRY_SET(const auto writer, blobs.begin(blob::Hashes::kSha256));
  std::string buffer(kCopyBytes, 0);
  for (const blob::Artifact& part : parts) {
    TRY_SET(const base::Fd fd, blobs.open_blob(part.digest));
    for (ssize_t n = 0; (n = ::read(fd.get(), buffer.data(), buffer.size())) != 0;) {
      if (n < 0) return base::errno_error("reading a part", errno);
      TRY(writer->write({buffer.data(), static_cast<size_t>(n)}));
    }
  }
  return writer->finish();
}

// What the client says it has uploaded must be what is here.
Result<void> check_etags(const std::map<int64_t, std::string>& said, const std::vector<blob::Artifact>& parts) {
  for (const auto& [number, etag] : said) {
    const bool known = number >= 1 && static_cast<size_t>(number) <= parts.size();
    if (!known || etag != "\"" + parts[static_cast<size_t>(number) - 1].digest.hex() + "\"")
      return base::invalid("part " + std::to_string(number) + " is not what was uploaded: its ETag is " +
                           etag.substr(0, 80));
  }
  return {};
}

base::Task<void> complete(Shared shared, net::Request& request, net::Response& response) {
  Args args(request);
  auto body = co_await request.read_body();
  if (!body) co_return fail(response, body.error());
  args.take_body(std::move(*body));
  const std::string id = args.required_text("upload_id"), file = args.required_text("path");
  std::map<int64_t, std::string> said;
  for (const auto* part : args.objects("parts")) {
    const auto number = args.integer_in(*part, "part_number", "parts[]");
    said[number.value_or(0)] = args.text_in(*part, "etag", "parts[]", false);
  }
  if (args.error()) co_return fail(response, *args.error());
  const auto path = target_path(request.param("path"), file);
  if (!path) co_return fail(response, path.error());
  auto find = [&](Tx& tx) -> Result<Completion> {
    Completion out;
    TRY_SET(out.upload, track::get_upload(tx, id));
    if (out.upload.path != *path)
      return base::invalid("this upload is for '" + out.upload.path + "', not for '" + *path + "'");
    if (!out.upload.remote.empty()) return out;
    TRY_SET(out.parts, track::upload_parts(tx, out.upload));
    TRY(check_etags(said, out.parts));
    return out;
  };
  const auto found = co_await shared.store->read(request.ctx, find);
  if (!found) co_return fail(response, found.error());
  auto work = [&] {
    return found->upload.remote.empty() ? join(*shared.blobs, found->parts)
                                        : join_remote(*shared.blobs, found->upload, said);
  };
  const auto whole = co_await shared.offload->run(work);
  if (!whole) co_return fail(response, whole.error());
  const auto done = co_await shared.store->write(request.ctx, [&](Tx& tx) -> Result<void> {
    TRY(track::get_upload(tx, id));
    TRY(put_file(tx, *path, *whole));
    return track::end_upload(tx, id);
  });
  if (!done) co_return fail(response, done.error());
  if (const auto settled = co_await settle_plain(shared, request, *path); !settled)
    co_return fail(response, settled.error());
  auto drop = [&]() -> Result<void> {
    drop_remote(*shared.blobs, found->upload);
    return {};
  };
  if (!found->upload.remote.empty()) (void)co_await shared.offload->run(drop);
  response.send_json("{}");
}

// The upload is named in the body, which the door has not read when it looks at the caller's rights.
base::Task<void> abort(Shared shared, const Guard* guard, net::Request& request, net::Response& response) {
  Args args(request);
  if (const auto read = co_await read_args(request, args); !read) co_return fail(response, read.error());
  const std::string id = args.required_text("upload_id");
  const auto access = limits_of(request);
  Claims claims;
  if (access && guard != nullptr) claims = claims_of(*guard, args, request);
  if (args.error()) co_return fail(response, *args.error());
  auto find = [&](Tx& tx) -> Result<track::Upload> {
    if (access) TRY(check(tx, *access, claims));
    return track::get_upload(tx, id);
  };
  const auto upload = co_await shared.store->read(request.ctx, find);
  if (!upload) co_return fail(response, upload.error());
  // First there, so that a failure leaves what another try can find.
  auto drop = [&]() -> Result<void> {
    auto* const bucket = blob::direct_uploads(*shared.blobs);
    if (bucket == nullptr || upload->remote.empty()) return {};
    return bucket->drop_upload(direct(*upload));
  };
  if (const auto dropped = co_await shared.offload->run(drop); !dropped) co_return fail(response, dropped.error());
  auto end = [&](Tx& tx) { return track::end_upload(tx, id); };
  if (const auto ended = co_await shared.store->write(request.ctx, end); !ended)
    co_return fail(response, ended.error());
  response.send_json("{}");
}

base::Task<void> put_part(Shared shared, net::Request& request, net::Response& response) {
  const std::string id(request.param("upload"));
  const std::string_view text = request.param("part");
  int64_t number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc() || end != text.data() + text.size())
    co_return fail(response, {base::Code::kInvalid, "a part's number is a whole number"});
  auto find = [&](Tx& tx) -> Result<track::Upload> {
    TRY_SET(track::Upload upload, track::get_upload(tx, id));
    if (upload.remote.empty()) return upload;
    return base::invalid("the parts of this upload go to the bucket's URLs, which its creation answered");
  };
  const auto known = co_await shared.store->read(request.ctx, find);
  if (!known) co_return fail(response, known.error());
  const auto info = co_await receive(shared, request);
  if (!info) co_return fail(response, info.error());
  const auto stored =
      co_await shared.store->write(request.ctx, [&](Tx& tx) { return track::put_part(tx, id, number, *info); });
  if (!stored) co_return fail(response, stored.error());
  response.header("ETag", "\"" + info->sha256.hex() + "\"");
  response.send_json("{}");
}

base::Task<void> create(Shared shared, net::Request& request, net::Response& response) {
  Args args(request);
  auto body = co_await request.read_body();
  if (!body) co_return fail(response, body.error());
  args.take_body(std::move(*body));
  const std::string file = args.required_text("path");
  const int64_t parts = args.integer("num_parts").value_or(1);
  if (args.error()) co_return fail(response, *args.error());
  const auto path = target_path(request.param("path"), file);
  if (!path) co_return fail(response, path.error());
  auto upload =
      co_await shared.store->write(request.ctx, [&](Tx& tx) { return track::begin_upload(tx, *path, parts); });
  if (!upload) co_return fail(response, upload.error());
  std::vector<std::string> urls;
  if (auto* const bucket = blob::direct_uploads(*shared.blobs)) {
    auto begin = [&] { return bucket->begin_upload(upload->id); };
    auto remote = co_await shared.offload->run(begin);
    if (!remote) co_return fail(response, remote.error());
    upload->remote = std::move(*remote);
    auto note = [&](Tx& tx) { return track::note_remote(tx, upload->id, upload->remote); };
    if (const auto noted = co_await shared.store->write(request.ctx, note); !noted)
      co_return fail(response, noted.error());
    auto sign = [&] { return part_urls(*bucket, *upload); };
    auto signed_urls = co_await shared.offload->run(sign);
    if (!signed_urls) co_return fail(response, signed_urls.error());
    urls = std::move(*signed_urls);
    response.header("Cache-Control", "no-store");
  }
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  write_credentials(json, request, *upload, urls);
  json.end_object();
  response.send_json(std::move(out));
}

}  // namespace

void add_multipart_routes(Door& door) {
  const Shared shared = shared_of(door);
  const auto write = base::Permission::kWrite;
  const net::RouteLimits json{.body_bytes = kCallBody};
  const net::RouteLimits streamed{.body_bytes = base::limits::kUploadBody, .deadline_us = 0};
  for (const char* folder : {"", "/{path...}"}) {  // a file at the very top has no folder
    const auto path = [folder](const char* act) { return std::string("mlflow-artifacts/mpu/") + act + folder; };
    door.add(Method::kPost, path("create"), write, json,
             [shared](net::Request& request, net::Response& response) { return create(shared, request, response); });
    // Joining takes as long as the disk takes.
    door.add(Method::kPost, path("complete"), write, {.body_bytes = kCallBody, .deadline_us = 0},
             [shared](net::Request& request, net::Response& response) { return complete(shared, request, response); });
    const Guard* const guard = find_guard(Method::kPost, path("abort"));
    door.add(Method::kPost, path("abort"), write, json,
             [shared, guard](net::Request& request, net::Response& response) {
               return abort(shared, guard, request, response);
             });
  }
  add_presigned_routes(door);
  door.add(Method::kPut, "mlflow-artifacts/mpu/parts/{upload}/{part}", write, streamed,
           [shared](net::Request& request, net::Response& response) { return put_part(shared, request, response); });
}

}  // namespace api::mlflow
