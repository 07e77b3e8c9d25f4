#include "api/lathe/blobs.h"

#include <optional>
#include <span>

#include "api/lathe/errors.h"
#include "api/lathe/routes.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "base/limits.h"
#include "net/pieces.h"

namespace api::lathe {
namespace {

constexpr size_t kChunk = 256 << 10;     // of a body, between the socket and the disk
constexpr size_t kMissingNamed = 5;      // of the blobs that an error lists
constexpr size_t kMaxDigests = 100'000;  // asked for by one POST /blobs/missing
constexpr net::RouteLimits kQuestion{.body_bytes = 16 * base::limits::kMiB};
constexpr net::RouteLimits kUpload{.body_bytes = base::limits::kUploadBody, .deadline_us = 0};  // a stall ends it
constexpr net::RouteLimits kDownload{.body_bytes = 0, .deadline_us = 0};

base::Result<base::Digest> digest_in(const net::Request& request) {
  auto digest = base::Digest::from_hex(base::HashAlgo::kSha256, request.param("sha256"));
  if (!digest) return std::unexpected(std::move(digest).error().within("the blob's address"));
  return digest;
}

// As much of the body as fits; less only at its end.
base::Task<base::Result<size_t>> read_full(net::Request& request, std::span<char> into) {
  size_t have = 0;
  while (have < into.size()) {
    CO_TRY_SET(const size_t n, co_await request.read_some(into.subspan(have)));
    if (n == 0) break;
    have += n;
  }
  co_return have;
}

base::Task<base::Result<blob::BlobInfo>> receive(BlobDoor door, net::Request& request, base::Digest digest) {
  auto begin = [&door] { return door.blobs.begin(); };
  CO_TRY_SET(auto writer, co_await door.offload.run(begin));
  std::string buffer(kChunk, '\0');
  while (true) {
    CO_TRY_SET(const size_t n, co_await read_full(request, buffer));
    if (n == 0) break;
    auto write = [&] { return writer->write({buffer.data(), n}); };
    CO_TRY(co_await door.offload.run(write));
    if (n < buffer.size()) break;
  }
  auto finish = [&] { return writer->finish(digest); };
  CO_TRY_SET(const blob::BlobInfo info, co_await door.offload.run(finish));
  auto remember = [info](store::Tx& tx) -> base::Result<bool> {
    TRY(blob::register_upload(tx, info));
    return true;
  };
  CO_TRY(co_await door.store.write(request.ctx, remember));
  co_return info;
}

base::Task<void> put_blob(BlobDoor door, net::Request& request, net::Response& response) {
  const auto digest = digest_in(request);
  if (!digest) co_return fail(response, request, digest.error());
  const auto info = co_await receive(door, request, *digest);
  if (!info) co_return fail(response, request, info.error());
  std::string body;
  base::JsonWriter json(body);
  json.begin_object()
      .field("sha256", info->sha256.hex())
      .field("md5", info->md5_hex())
      .field("size", info->size)
      .end_object();
  response.send_json(std::move(body), 201);
}

base::Task<void> get_blob(BlobDoor door, net::Request& request, net::Response& response) {
  const auto digest = digest_in(request);
  if (!digest) co_return fail(response, request, digest.error());
  auto find = [digest = *digest](store::Tx& tx) { return blob::find_blob(tx, digest); };
  const auto known = co_await door.store.read_point(request.ctx, find);
  if (!known) co_return fail(response, request, known.error());
  if (!*known) {
    co_return fail(response, request,
                   {base::Code::kNotFound, "blob " + digest->hex() + " is not known to this project"});
  }
  response.header("Cache-Control", "private, max-age=31536000, immutable");
  co_await send_blob(door, *digest, "application/octet-stream", request, response);
}

base::Result<std::vector<base::Digest>> parse_digests(std::string_view body) {
  TRY_SET(const auto value, base::parse_json(body));
  TRY_SET(const auto* const object, base::as_object(value, "the body"));
  TRY_SET(const auto* const array, base::required_array(*object, "digests"));
  if (array->size() > kMaxDigests) {
    return base::fail(base::Code::kTooLarge, "'digests' has " + std::to_string(array->size()) + " entries; at most " +
                                                 std::to_string(kMaxDigests) + " are answered at once");
  }
  std::vector<base::Digest> digests;
  for (const auto& entry : *array) {
    if (!entry.is_string())
      return base::invalid("'digests' must hold strings, found " + std::string(base::kind_name(entry.kind())));
    TRY_SET(const auto digest, base::Digest::from_hex(base::HashAlgo::kSha256, std::string_view(entry.as_string())));
    digests.push_back(digest);
  }
  return digests;
}

// What this project does not have. What it has will not be collected before the grace period has passed anew, so that
// the caller can rely on the answer.
base::Task<base::Result<std::vector<base::Digest>>> missing_of(BlobDoor door, base::Context ctx,
                                                               std::vector<base::Digest> digests) {
  auto read = [&](store::Tx& tx) -> base::Result<std::vector<bool>> {
    std::vector<bool> known;
    for (const base::Digest& digest : digests) {
      TRY_SET(const auto found, blob::find_blob(tx, digest));
      known.push_back(found.has_value());
    }
    return known;
  };
  CO_TRY_SET(const auto known, co_await door.store.read(std::move(ctx), read));
  auto touch = [&]() -> base::Result<std::vector<base::Digest>> {
    std::vector<base::Digest> wanted, missing;
    for (size_t i = 0; i < digests.size(); ++i) {
      if (known[i]) wanted.push_back(digests[i]);
    }
    TRY_SET(const auto sizes, door.blobs.touch(wanted));
    for (size_t i = 0, of_wanted = 0; i < digests.size(); ++i) {
      if (!known[i] || !sizes[of_wanted++]) missing.push_back(digests[i]);
    }
    return missing;
  };
  co_return co_await door.offload.run(touch);
}

base::Task<void> post_missing(BlobDoor door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  auto digests = parse_digests(*body);
  if (!digests) co_return fail(response, request, digests.error());
  const auto missing = co_await missing_of(door, request.ctx, std::move(*digests));
  if (!missing) co_return fail(response, request, missing.error());
  std::string answer;
  base::JsonWriter json(answer);
  json.begin_object().key("missing").begin_array();
  for (const base::Digest& digest : *missing) json.value(digest.hex());
  json.end_array().end_object();
  response.send_json(std::move(answer));
}

}  // namespace

base::Task<void> send_blob(BlobDoor door, base::Digest digest, std::string type, net::Request& request,
                           net::Response& response) {
  uint64_t size = 0;
  auto open = [&]() -> base::Result<blob::BlobStore::Source> {
    TRY_SET(const int64_t bytes, door.blobs.size_of(digest));
    size = static_cast<uint64_t>(bytes);
    return door.blobs.open_range(digest, 0, size);
  };
  auto source = co_await door.offload.run(open);
  if (!source) co_return fail(response, request, source.error());
  response.header("ETag", "\"" + digest.hex() + "\"");
  if (!co_await response.begin(200, type, size)) co_return;
  if (source->fd) {
    if (!co_await response.send_file(source->fd.get(), 0, size)) co_return;
  } else {
    auto next = [&] { return source->reader->next(); };
    if (!co_await net::send_pieces(response, door.offload, next)) co_return;
  }
  std::ignore = co_await response.end();
}

base::Result<void> check_uploaded(blob::BlobStore& blobs, std::span<const UploadedFile> files) {
  std::vector<base::Digest> digests;
  for (const auto& file : files) digests.push_back(file.digest);
  TRY_SET(const auto sizes, blobs.touch(digests));
  std::string missing;
  size_t count = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    const auto& file = files[i];
    if (sizes[i] == file.size) continue;
    if (sizes[i])
      return base::invalid("the file '" + std::string(file.path) + "' is said to have " + std::to_string(file.size) +
                           " bytes, its blob has " + std::to_string(*sizes[i]));
    if (count++ < kMissingNamed) (missing += missing.empty() ? "" : ", ") += file.path;
  }
  if (count == 0) return {};
  return base::fail(base::Code::kConflict, std::to_string(count) +
                                               " blobs must be uploaded first (PUT /api/lathe/v1/blobs/{sha256}): " +
                                               missing + (count > kMissingNamed ? ", …" : ""));
}

void add_blob_routes(net::RouteTable& routes, const BlobDoor& door) {
  using base::Permission;
  using net::Method;
  const auto add = route_adder(routes, door);
  add(Method::kPut, "/blobs/{sha256}", Permission::kWrite, kUpload, put_blob);
  add(Method::kGet, "/blobs/{sha256}", Permission::kRead, kDownload, get_blob);
  add(Method::kPost, "/blobs/missing", Permission::kRead, kQuestion, post_missing);
}

}  // namespace api::lathe
