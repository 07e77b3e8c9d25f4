#include "api/lathe/blobs.h"

#include <sys/stat.h>

#include <memory>

#include "api/lathe/errors.h"
#include "base/json.h"

namespace api::lathe {
namespace {

constexpr size_t kChunkBytes = size_t{256} << 10;
constexpr size_t kMaxDigests = 100'000;                 // in one question for missing blobs
constexpr size_t kMissingBody = size_t{16} << 20;
constexpr int64_t kTransferUs = int64_t{3600} * 1'000'000;

base::Task<base::Result<blob::BlobInfo>> receive(BlobDoor door, net::Request& request) {
  auto begun = co_await door.offload.run([&] { return door.blobs.begin(); });
  if (!begun) co_return std::unexpected(begun.error());
  const std::unique_ptr<blob::BlobWriter> writer = std::move(*begun);
  std::string chunk(kChunkBytes, '\0');
  while (true) {
    size_t filled = 0;  // whole chunks: one hop to a worker thread for many reads of the socket
    while (filled < chunk.size()) {
      CO_TRY_SET(const size_t n, co_await request.read_some({chunk.data() + filled, chunk.size() - filled}));
      if (n == 0) break;
      filled += n;
    }
    if (filled == 0) break;
    const std::string_view piece(chunk.data(), filled);
    CO_TRY(co_await door.offload.run([&] { return writer->write(piece); }));
    if (filled < chunk.size()) break;
  }
  co_return co_await door.offload.run([&] { return writer->finish(); });
}

base::Task<void> put_blob(BlobDoor door, net::Request& request, net::Response& response) {
  const auto digest = base::Digest::from_hex(base::HashAlgo::kSha256, request.param("sha256"));
  if (!digest) co_return fail(response, request, digest.error());
  const auto info = co_await receive(door, request);
  if (!info) co_return fail(response, request, info.error());
  if (info->sha256 != *digest) {
    // What came is kept under its own digest for the grace period, as any blob that nobody refers to.
    co_return fail(response, request, {base::Code::kInvalid, "the bytes have the SHA-256 " + info->sha256.hex() + ", not " + digest->hex()});
  }
  std::string body;
  base::JsonWriter(body).begin_object().field("sha256", info->sha256.hex()).field("md5", info->md5.hex()).field("size", info->size).end_object();
  response.send_json(std::move(body), 201);
}

base::Result<std::vector<base::Digest>> parse_digests(const std::string& body) {
  TRY_SET(const auto document, base::parse_json(body));
  TRY_SET(const auto* object, base::as_object(document, "the body"));
  TRY_SET(const auto* list, base::required_array(*object, "digests"));
  if (list->size() > kMaxDigests) {
    return base::fail(base::Code::kTooLarge, std::to_string(list->size()) + " digests; at most " + std::to_string(kMaxDigests) + " at once");
  }
  std::vector<base::Digest> digests;
  for (const auto& item : *list) {
    if (!item.is_string()) return base::invalid("field 'digests' must hold strings, found " + std::string(base::kind_name(item.kind())));
    TRY_SET(const auto digest, base::Digest::from_hex(base::HashAlgo::kSha256, std::string_view(item.get_string())));
    digests.push_back(digest);
  }
  return digests;
}

base::Task<void> post_missing(BlobDoor door, net::Request& request, net::Response& response) {
  const auto text = co_await request.read_body();
  if (!text) co_return fail(response, request, text.error());
  const auto digests = parse_digests(*text);
  if (!digests) co_return fail(response, request, digests.error());
  auto look = [&]() -> base::Result<std::string> {
    std::string body;
    base::JsonWriter json(body);
    json.begin_object().key("missing").begin_array();
    for (const auto& digest : *digests) {
      if (!door.blobs.touch(digest)) json.value(digest.hex());  // what is here is about to be referred to
    }
    json.end_array().end_object();
    return body;
  };
  auto body = co_await door.offload.run(look);
  if (!body) co_return fail(response, request, body.error());
  response.send_json(std::move(*body));
}

base::Task<void> get_blob(BlobDoor door, net::Request& request, net::Response& response) {
  const auto digest = base::Digest::from_hex(base::HashAlgo::kSha256, request.param("sha256"));
  if (!digest) co_return fail(response, request, digest.error());
  co_await send_blob(door, *digest, "application/octet-stream", request, response);
}

}  // namespace

base::Task<void> send_blob(BlobDoor door, base::Digest digest, std::string type, net::Request& request, net::Response& response) {
  const auto fd = co_await door.offload.run([&] { return door.blobs.open_blob(digest); });
  if (!fd) co_return fail(response, request, fd.error());
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) co_return fail(response, request, base::errno_error("a blob", errno).error());
  const auto size = static_cast<uint64_t>(info.st_size);
  response.header("ETag", "\"" + digest.hex() + "\"");
  if (!co_await response.begin(200, type, size)) co_return;
  if (!co_await response.send_file(fd->get(), 0, size)) co_return;
  std::ignore = co_await response.end();
}

void add_blob_routes(net::RouteTable& routes, const BlobDoor& door) {
  using net::Method;
  const std::string base = "/api/lathe/v1/blobs";
  auto add = [&](Method method, const std::string& path, base::Permission permission, net::RouteLimits limits, auto handler) {
    routes.add({method, base + path, net::Protocol::kLathe, permission, limits,
                [door, handler](net::Request& request, net::Response& response) { return handler(door, request, response); }});
  };
  add(Method::kPut, "/{sha256}", base::Permission::kWrite, {.body_bytes = base::limits::kUploadBody, .deadline_us = kTransferUs}, put_blob);
  add(Method::kGet, "/{sha256}", base::Permission::kRead, {.body_bytes = 0, .deadline_us = kTransferUs}, get_blob);
  add(Method::kPost, "/missing", base::Permission::kRead, {.body_bytes = kMissingBody}, post_missing);
}

}  // namespace api::lathe
