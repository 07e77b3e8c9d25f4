#include "api/lathe/import.h"

#include "api/lathe/errors.h"
#include "api/lathe/routes.h"
#include "base/limits.h"
#include "core/users.h"
#include "takeover/takeover.h"

namespace api::lathe {
namespace {

constexpr net::RouteLimits kQuestion{.body_bytes = 96 * base::limits::kMiB};

base::Task<void> post_act(ImportDoor door, net::Request& request, net::Response& response) {
  const auto question = co_await request.read_body();
  if (!question) co_return fail(response, request, question.error());
  auto open = [&] { return takeover::open_act(request.param("act"), *question); };
  const auto act = co_await door.offload.run(open);  // a large question takes a while to read
  if (!act) co_return fail(response, request, act.error());
  base::Context ctx = request.ctx;
  if (act->of_server) ctx.project = core::kServerProject;
  base::Result<std::string> answer = base::internal("not run");
  if (act->writes) {
    answer = co_await door.store.write(ctx, act->run);
  } else {
    answer = co_await door.store.read(ctx, act->run);
  }
  if (!answer) co_return fail(response, request, answer.error());
  response.send(200, "application/octet-stream", std::move(*answer));
}

}  // namespace

void add_import_routes(net::RouteTable& routes, const ImportDoor& door) {
  route_adder(routes, door, net::Scope::kServer)(net::Method::kPost, "/import/{act}", base::Permission::kAdmin,
                                                 kQuestion, post_act);
}

}  // namespace api::lathe
