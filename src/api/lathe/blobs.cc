#include "api/lathe/blobs.h"

#include <sys/stat.h>

#include <span>

#include "api/lathe/errors.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "base/limits.h"

namespace api::lathe {
namespace {

constexpr net::RouteLimits kUpload{.body_bytes = base::limits::kUploadBody, .deadline_us = 0};
constexpr net::RouteLimits kStream{.body_bytes = 0, .deadline_us = 0};
constexpr net::RouteLimits kManyDigests{.body_bytes = 4 * base::limits::kMiB};
constexpr size_t kPiece = 256 * base::limits::kKiB;   // what is held of an upload
constexpr size_t kMaxDigests = 20'000;                // asked for at once

base::Result<base::Digest> digest_of(const net::Request& request) {
  return base::Digest::from_hex(base::HashAlgo::kSha256, request.param("sha256"));
}

base::Task<base::Result<blob::BlobInfo>> receive(const BlobDoor& door, net::Request& request) {
  CO_TRY_SET(const auto writer, co_await door.offload.run([&] { return door.blobs.begin(); }));
  std::string piece(kPiece, '\0');
  size_t held = 0;
  for (bool more = true; more;) {
    CO_TRY_SET(const size_t n, co_await request.read_some(std::span(piece.data() + held, piece.size() - held)));
    held += n;
    more = n > 0;
    if (held == piece.size() || (!more && held > 0)) {
      CO_TRY(co_await door.offload.run([&] { return writer->write(std::string_view(piece.data(), held)); }));
      held = 0;
    }
  }
  co_return co_await door.offload.run([&] { return writer->finish(); });
}

base::Task<void> put_blob(const BlobDoor& door, net::Request& request, net::Response& response) {
  const auto wanted = digest_of(request);
  if (!wanted) co_return fail(response, request, wanted.error());
  const auto info = co_await receive(door, request);
  if (!info) co_return fail(response, request, info.error());
  if (info->sha256 != *wanted) {
    co_return fail(response, request, {base::Code::kInvalid, "the bytes sent have SHA-256 " + info->sha256.hex() + ", the address says " + wanted->hex()});
  }
  std::string out;
  base::JsonWriter(out).begin_object().field("sha256", info->sha256.hex()).field("md5", info->md5.hex()).field("size", info->size).end_object();
  response.send_json(std::move(out), 201);
}

struct OpenBlob {
  base::Fd fd;
  uint64_t size = 0;
};
base::Result<OpenBlob> open_blob(blob::BlobStore& blobs, const base::Digest& digest) {
  OpenBlob out;
  TRY_SET(out.fd, blobs.open_blob(digest));
  struct stat st {};
  if (fstat(out.fd.get(), &st) != 0) return base::errno_error("blob " + digest.hex(), errno);
  out.size = static_cast<uint64_t>(st.st_size);
  return out;
}

base::Task<void> get_blob(const BlobDoor& door, net::Request& request, net::Response& response) {
  const auto wanted = digest_of(request);
  if (!wanted) co_return fail(response, request, wanted.error());
  const auto found = co_await door.offload.run([&] { return open_blob(door.blobs, *wanted); });
  if (!found) co_return fail(response, request, found.error());
  response.header("ETag", "\"" + wanted->hex() + "\"");
  if (!co_await response.begin(200, "application/octet-stream", found->size)) co_return;
  if (!co_await response.send_file(found->fd.get(), 0, found->size)) co_return;
  std::ignore = co_await response.end();
}

base::Result<std::vector<base::Digest>> parse_digests(std::string_view body) {
  TRY_SET(const auto value, base::parse_json(body));
  TRY_SET(const auto* object, base::as_object(value, "the body"));
  TRY_SET(const auto* digests, base::required_array(*object, "digests"));
  if (digests->size() > kMaxDigests) return base::fail(base::Code::kTooLarge, "'digests' may have " + std::to_string(kMaxDigests) + " entries, found " + std::to_string(digests->size()));
  std::vector<base::Digest> out;
  for (const auto& entry : *digests) {
    if (!entry.is_string()) return base::invalid("field 'digests' must hold SHA-256 texts only");
    TRY_SET(const auto digest, base::Digest::from_hex(base::HashAlgo::kSha256, std::string_view(entry.get_string())));
    out.push_back(digest);
  }
  return out;
}

base::Task<void> post_missing(const BlobDoor& door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto digests = parse_digests(*body);
  if (!digests) co_return fail(response, request, digests.error());
  auto look = [&]() -> base::Result<std::string> {
    std::string out;
    base::JsonWriter w(out);
    w.begin_object().key("missing").begin_array();
    for (const auto& digest : *digests) {
      if (!door.blobs.exists(digest)) w.value(digest.hex());
    }
    w.end_array().end_object();
    return out;
  };
  auto answer = co_await door.offload.run(look);
  if (!answer) co_return fail(response, request, answer.error());
  response.send_json(std::move(*answer));
}

}  // namespace

void add_blob_routes(net::RouteTable& routes, const BlobDoor& door) {
  using base::Permission;
  using net::Method;
  constexpr auto kLathe = net::Protocol::kLathe;
  const auto add = [&](Method method, std::string path, Permission permission, net::RouteLimits limits, auto handler) {
    routes.add({method, "/api/lathe/v1" + path, kLathe, permission, limits,
                [door, handler](net::Request& request, net::Response& response) { return handler(door, request, response); }});
  };
  add(Method::kPut, "/blobs/{sha256}", Permission::kWrite, kUpload, put_blob);
  add(Method::kGet, "/blobs/{sha256}", Permission::kRead, kStream, get_blob);
  add(Method::kPost, "/blobs/missing", Permission::kRead, kManyDigests, post_missing);
}

}  // namespace api::lathe
