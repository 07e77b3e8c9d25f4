#include "api/lathe/upkeep.h"

#include "api/lathe/errors.h"
#include "api/lathe/routes.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "blob/backup.h"
#include "blob/gc.h"
#include "core/audit.h"

namespace api::lathe {
namespace {

constexpr size_t kChunk = 256 << 10;  // of a backup, between the disk and the socket
constexpr net::RouteLimits kDownload{.body_bytes = 0, .deadline_us = 0};

base::Task<void> get_backup(UpkeepDoor door, net::Request& request, net::Response& response) {
  const std::string wanted = request.query_value("blobs").value_or("true");
  if (wanted != "true" && wanted != "false") {
    co_return fail(response, request, {base::Code::kInvalid, "blobs is '" + wanted + "'; it must be true or false"});
  }
  auto begin = [&] {
    return blob::Backup::begin(door.store, door.blobs, door.clock,
                               {.dir = door.dir, .version = door.version, .with_blobs = wanted == "true"});
  };
  const auto backup = co_await door.offload.run(begin);
  if (!backup) co_return fail(response, request, backup.error());
  auto note = [](store::Tx& tx) -> base::Result<bool> {
    core::audit(tx, "store.backed_up", "store", "");
    return true;
  };
  if (const auto noted = co_await door.store.write(request.ctx, note); !noted) {
    co_return fail(response, request, noted.error());
  }
  if (!co_await response.begin(200, "application/x-tar", static_cast<uint64_t>((*backup)->size()))) co_return;
  std::string buffer(kChunk, '\0');
  while (true) {
    auto read = [&] { return (*backup)->read(buffer); };
    const auto n = co_await door.offload.run(read);
    // A blob that cannot be read: the answer stays shorter than announced, which its reader notices.
    if (!n || *n == 0) break;
    if (!co_await response.write({buffer.data(), *n})) co_return;
  }
  std::ignore = co_await response.end();
}

base::Result<int64_t> grace_in(std::string_view body) {
  if (body.empty()) return blob::kGraceUs;
  TRY_SET(const auto value, base::parse_json(body));
  TRY_SET(const auto* const object, base::as_object(value, "the body"));
  TRY_SET(const auto grace_us, base::optional_int(*object, "grace_us"));
  if (grace_us && *grace_us < 0)
    return base::invalid("grace_us is " + std::to_string(*grace_us) + "; it must be 0 or more");
  return grace_us.value_or(blob::kGraceUs);
}

base::Task<void> post_gc(UpkeepDoor door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto grace_us = grace_in(*body);
  if (!grace_us) co_return fail(response, request, grace_us.error());
  auto collect = [&] { return blob::collect_garbage(door.store, door.blobs, request.ctx, *grace_us); };
  const auto report = co_await door.offload.run(collect);
  if (!report) co_return fail(response, request, report.error());
  std::string answer;
  base::JsonWriter json(answer);
  json.begin_object().field("marked", report->marked).field("forgotten", report->forgotten);
  json.field("removed", report->removed).field("bytes", report->bytes).end_object();
  response.send_json(std::move(answer));
}

}  // namespace

void add_upkeep_routes(net::RouteTable& routes, const UpkeepDoor& door) {
  using net::Method;
  const auto add = route_adder(routes, door, net::Scope::kServer);
  add(Method::kGet, "/backup", base::Permission::kAdmin, kDownload, get_backup);
  add(Method::kPost, "/gc", base::Permission::kAdmin, {.deadline_us = 0}, post_gc);
}

}  // namespace api::lathe
