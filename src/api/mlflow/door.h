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
#include "api/mlflow/mlflow.h"
#include "base/json_writer.h"

namespace api::mlflow {

inline constexpr size_t kCallBody = size_t{8} << 20;    // a batch of 1,000 entries at their longest fits
inline constexpr size_t kInputsBody = size_t{64} << 20; // datasets carry profiles of up to 16 MB

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
    add(method, path, base::Permission::kWrite, {.body_bytes = body_bytes},
        call<Kind::kWrite>(std::move(parse), std::move(act), std::move(render)));
  }
  template <class Parse, class Act, class Render>
  void read(net::Method method, std::string_view path, Parse parse, Act act, Render render) {
    add(method, path, base::Permission::kRead, {.body_bytes = kCallBody},
        call<Kind::kRead>(std::move(parse), std::move(act), std::move(render)));
  }
  template <class Parse, class Act, class Render>
  void point(net::Method method, std::string_view path, Parse parse, Act act, Render render) {
    add(method, path, base::Permission::kRead, {.body_bytes = kCallBody},
        call<Kind::kPoint>(std::move(parse), std::move(act), std::move(render)));
  }
  // `path` below …/mlflow/, under every prefix. Absolute paths as they are.
  void add(net::Method method, std::string_view path, base::Permission permission, net::RouteLimits limits,
           net::Handler handler);

  store::Store& store() { return store_; }
  blob::BlobStore& blobs() { return blobs_; }
  net::Offload& offload() { return offload_; }
  const Options& options() const { return options_; }

 private:
  enum class Kind : uint8_t { kWrite, kRead, kPoint };

  template <Kind kind, class Parse, class Act, class Render>
  net::Handler call(Parse parse, Act act, Render render);

  net::RouteTable& routes_;
  store::Store& store_;
  blob::BlobStore& blobs_;
  net::Offload& offload_;
  Options options_;
};

track::View parse_view(Args& args, std::string_view name);

// POST and PUT carry JSON and say so.
base::Result<void> check_content_type(const net::Request& request);

template <class Out, class Render>
std::string render_answer(const base::Result<Out>& out, const Render& render) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object();
  if constexpr (!std::is_void_v<Out>) render(json, *out);
  json.end_object();
  return body;
}

template <Door::Kind kind, class Parse, class Act, class Render>
net::Handler Door::call(Parse parse, Act act, Render render) {
  // The lambda lives in the route table as long as the server; its captures outlive every call.
  return [store = &store_, parse, act, render](net::Request& request, net::Response& response) -> base::Task<void> {
    Args args(request);
    if (Args::in_body(request)) {
      if (const auto fits = check_content_type(request); !fits) co_return fail(response, fits.error());
      auto body = co_await request.read_body();
      if (!body) co_return fail(response, body.error());
      args.take_body(std::move(*body));
    }
    if (args.error()) co_return fail(response, *args.error());
    const auto in = parse(args);
    if (args.error()) co_return fail(response, *args.error());
    auto job = [&act, &in](store::Tx& tx) { return act(tx, in); };
    using Out = std::invoke_result_t<decltype(job)&, store::Tx&>;
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
void add_info_routes(Door& door);

}  // namespace api::mlflow
