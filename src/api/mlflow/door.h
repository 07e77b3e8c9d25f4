// Door: how one MLflow call is made of three plain functions, so that an endpoint is a line:
//   parse   In(Args&)                       parameters → what the domain wants; errors are sticky in the Args
//   act     Result<Out>(store::Tx&, In)     one function of src/track
//   render  void(JsonWriter&, const Out&)   the answer; nothing for {}
// Parsing and rendering run on the connection's loop, only `act` in the store.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "api/mlflow/args.h"
#include "api/mlflow/errors.h"
#include "api/mlflow/guard.h"
#include "api/mlflow/mlflow.h"
#include "base/json_writer.h"

namespace api::mlflow {

inline constexpr size_t kCallBody = size_t{8} << 20;     // a batch of 1,000 entries at their longest fits
inline constexpr size_t kInputsBody = size_t{64} << 20;  // datasets carry profiles of up to 16 MB

struct Nothing {  // renders as {}
  template <class T>
  void operator()(base::JsonWriter&, const T&) const {}
};

class Door {
 public:
  Door(net::RouteTable& routes, store::Store& store, blob::BlobStore& blobs, net::Offload& offload, Options options)
      : routes_(routes), store_(store), blobs_(blobs), offload_(offload), options_(options) {}

  template <class Parse, class Act, class Render = Nothing>
  void write(net::Method method, std::string_view path, Parse parse, Act act, Render render = {},
             size_t body_bytes = kCallBody) {
    put(method, path, base::Permission::kWrite, {.body_bytes = body_bytes},
        call<Kind::kWrite>(find_guard(method, path), std::move(parse), std::move(act), std::move(render)));
  }
  template <class Parse, class Act, class Render>
  void read(net::Method method, std::string_view path, Parse parse, Act act, Render render) {
    put(method, path, base::Permission::kRead, {.body_bytes = kCallBody},
        call<Kind::kRead>(find_guard(method, path), std::move(parse), std::move(act), std::move(render)));
  }
  template <class Parse, class Act, class Render>
  void point(net::Method method, std::string_view path, Parse parse, Act act, Render render) {
    put(method, path, base::Permission::kRead, {.body_bytes = kCallBody},
        call<Kind::kPoint>(find_guard(method, path), std::move(parse), std::move(act), std::move(render)));
  }
  // `path` below …/mlflow/, under every prefix. Absolute paths as they are. Where the guard's table knows the route,
  // what its path and query name is checked before the handler runs.
  void add(net::Method method, std::string_view path, base::Permission permission, net::RouteLimits limits,
           net::Handler handler, net::Scope scope = net::Scope::kProject);

  store::Store& store() { return store_; }
  blob::BlobStore& blobs() { return blobs_; }
  net::Offload& offload() { return offload_; }
  const Options& options() const { return options_; }

 private:
  enum class Kind : uint8_t { kWrite, kRead, kPoint };

  template <Kind kind, class Parse, class Act, class Render>
  net::Handler call(const Guard* guard, Parse parse, Act act, Render render);
  void put(net::Method method, std::string_view path, base::Permission permission, net::RouteLimits limits,
           net::Handler handler, net::Scope scope = net::Scope::kProject);

  net::RouteTable& routes_;
  store::Store& store_;
  blob::BlobStore& blobs_;
  net::Offload& offload_;
  Options options_;
};

track::View parse_view(Args& args, std::string_view name);

// POST and PUT carry JSON and say so.
base::Result<void> check_content_type(const net::Request& request);

// For handlers that are not made by Door::call: the body's fields join those of the query.
base::Task<base::Result<void>> read_args(net::Request& request, Args& args);

template <class Out, class Render>
std::string render_answer(const base::Result<Out>& out, const Render& render) {
  std::string body;
  body.reserve(1024);  // most answers fit
  base::JsonWriter json(body);
  json.begin_object();
  if constexpr (!std::is_void_v<Out>) render(json, *out);
  json.end_object();
  return body;
}

template <Door::Kind kind, class Parse, class Act, class Render>
net::Handler Door::call(const Guard* guard, Parse parse, Act act, Render render) {
  // The lambda lives in the route table as long as the server; its captures outlive every call.
  return
      [store = &store_, guard, parse, act, render](net::Request& request, net::Response& response) -> base::Task<void> {
        Args args(request);
        if (Args::in_body(request)) {
          if (const auto fits = check_content_type(request); !fits) co_return fail(response, fits.error());
          if (const auto body = request.body_at_hand()) {
            args.take_body(*body);
          } else {
            const auto read = co_await request.read_body();
            if (!read) co_return fail(response, read.error());
            args.take_body(*read);
          }
        }
        if (args.error()) co_return fail(response, *args.error());
        const auto in = parse(args);
        if (args.error()) co_return fail(response, *args.error());
        using Out = decltype(act(std::declval<store::Tx&>(), in));
        const auto limits = limits_of(request);  // null, nearly always
        Claims claims;
        if (guard != nullptr && (limits || guard->moves)) claims = claims_of(*guard, args, request);
        if (args.error()) co_return fail(response, *args.error());
        auto job = [&](store::Tx& tx) -> Out {
          Out out = limits ? act_within(tx, *limits, claims, act, in) : act(tx, in);
          if (guard != nullptr && guard->moves && out) move_grants(tx, claims);
          return out;
        };
        Out out = base::internal("not run");
        if constexpr (kind == Kind::kWrite) {
          out = co_await store->write(request.ctx, job);
        } else if constexpr (kind == Kind::kRead) {
          out = co_await store->read(request.ctx, job);
        } else {
          out = co_await store->read_point(request.ctx, job);
        }
        if (!out) co_return fail(response, out.error());
        response.send_json(render_answer(out, render));
      };
}

// Each adds its entity's routes.
void add_experiment_routes(Door& door);
void add_run_routes(Door& door);
void add_metric_routes(Door& door);
void add_registry_routes(Door& door);
void add_logged_model_routes(Door& door);
void add_artifact_routes(Door& door);
void add_folder_zip_routes(Door& door);
void add_multipart_routes(Door& door);
void add_info_routes(Door& door);
void add_trace_routes(Door& door);
void add_assessment_routes(Door& door);
void add_trace_artifact_routes(Door& door);
void add_otlp_routes(Door& door);
void add_trace_metric_routes(Door& door);
void add_evaluation_dataset_routes(Door& door);
void add_scorer_routes(Door& door);
void add_issue_routes(Door& door);
void add_label_schema_routes(Door& door);
void add_review_queue_routes(Door& door);
void add_graphql_route(Door& door);
void add_workspace_routes(Door& door);

}  // namespace api::mlflow
