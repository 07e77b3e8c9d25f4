#include "server/serve_plane.h"

#include <unistd.h>

#include <cstdio>
#include <optional>
#include <thread>

#include "api/inference/inference.h"
#include "base/clock.h"
#include "base/limits.h"
#include "plane/doorkeeper.h"
#include "plane/follower.h"
#include "plane/home.h"
#include "plane/shipper.h"
#include "plane/source.h"
#include "server/lifetime.h"
#include "server/probes.h"
#include "server/version.h"

namespace server {
namespace {

constexpr int64_t kSpoolUs = int64_t{7} * 86'400'000'000;  // captured requests are kept this long, sent or not

struct Outpost {  // what runs, in the order in which it is built
  const base::Clock& clock = base::system_clock();
  base::Registry metrics;
  std::unique_ptr<net::TlsIdentity> tls;
  std::unique_ptr<Listeners> net;
  std::optional<plane::Home> home;
  std::optional<plane::Control> control;
  std::shared_ptr<plane::PlaneSource> source;
  std::unique_ptr<serve::Runtime> runtime;
  std::unique_ptr<plane::Doorkeeper> doors;
  std::unique_ptr<plane::Shipper> shipper;
  std::unique_ptr<plane::Follower> follower;
  net::RouteTable routes;
  net::ErrorWriters errors;
  ~Outpost() {  // nobody asks any more, then nobody changes what is served; what waits in the spool is sent next time
    net.reset();
    follower.reset();
    shipper.reset();
  }
};

// What the control plane says now, or else what it said last: a plane that has served before starts without it.
struct Orders {
  std::optional<plane::Snapshot> stored, fresh;
  const plane::Snapshot& known() const { return fresh ? *fresh : *stored; }
};

base::Result<Orders> take_orders(Outpost& out, const plane::Report& self) {
  Orders orders;
  TRY_SET(orders.stored, out.home->stored());
  auto fresh = out.control->snapshot();
  if (!fresh) {
    if (plane::Control::is_unreachable(fresh.error()) && orders.stored && out.home->writer()) {
      base::log::warn("the control plane is away; what was served last is served again",
                      {{"why", fresh.error().message}});
      return orders;
    }
    return std::unexpected(std::move(fresh).error().within("no word from the control plane"));
  }
  orders.fresh = std::move(*fresh);
  if (orders.stored && orders.stored->project_name != orders.fresh->project_name) {
    return base::fail(base::Code::kConflict, out.home->dir().string() + " belongs to project '" +
                                                 orders.stored->project_name + "', and this token to '" +
                                                 orders.fresh->project_name + "'; use another folder (--dir)");
  }
  plane::Report first = self;
  first.writer = out.home->writer();
  TRY_SET(const uint16_t writer, out.control->report(out.home->id(), first));
  TRY(out.home->take_writer(writer));
  return orders;
}

base::Result<void> start_serving(Outpost& out, const PlaneOptions& options) {
  TRY_SET(out.home, plane::Home::open(options.dir, out.clock));
  out.control.emplace(options.control);
  plane::Report self{.name = options.name,
                     .version = std::string(kVersion),
                     .address = shown(out.net->all().front()),
                     .started_us = out.clock.wall_us()};
  TRY_SET(const Orders orders, take_orders(out, self));
  TRY_SET(const auto cache, blob::Cache::open(options.dir / "blobs", options.cache_bytes));
  out.source = std::make_shared<plane::PlaneSource>(*out.control, cache, out.metrics);
  if (orders.stored) out.source->apply(std::make_shared<const plane::Snapshot>(*orders.stored));
  serve::Runtime::Options serving{.dir = options.dir / "serve"};
  TRY_SET(serving.self, base::executable_path());
  serving.capture.keep_bytes = options.spool_bytes;
  serving.capture.keep_us = kSpoolUs;
  TRY_SET(out.runtime, serve::Runtime::start(out.source, serving, out.metrics));
  net::AccessPolicy policy;
  policy.require_login = options.require_login;
  policy.allowed_hosts = options.allowed_hosts;
  out.doors = std::make_unique<plane::Doorkeeper>(
      *out.control, out.clock,
      plane::Doorkeeper::Options{.file = options.dir / "callers.json", .grace_us = options.grace_us}, policy);
  const plane::Snapshot& known = orders.known();
  out.doors->serves(known.project, known.project_name, known.require_login);
  out.doors->load();
  out.shipper =
      std::make_unique<plane::Shipper>(*out.control, out.runtime->capture(), out.home->id(), options.dir / "sent.json");
  std::vector<base::Path> certificates;
  for (const base::Path& file : {base::Path(options.tls_cert), options.control.certificate.certificate})
    if (!file.empty()) certificates.push_back(file);
  out.follower = std::make_unique<plane::Follower>(*out.control, *out.home, *out.source, *out.runtime, *out.doors,
                                                   *out.shipper, out.clock, std::move(self), std::move(certificates));
  if (orders.fresh) out.follower->apply(*orders.fresh);
  out.follower->start(orders.fresh.has_value());
  return {};
}

base::Result<void> open(Outpost& out, const PlaneOptions& options) {
  net::ServerOptions common;
  common.threads = options.threads;
  if (!options.tls_cert.empty()) {
    TRY_SET(out.tls, net::TlsIdentity::load({.certificate = options.tls_cert, .key = options.tls_key}));
    common.tls = out.tls.get();
  }
  TRY_SET(out.net, Listeners::open(options.listeners, common, out.clock, out.metrics));
  TRY(start_serving(out, options));
  api::inference::add_inference_routes(out.routes, out.errors, *out.runtime, std::string(kVersion));
  add_probes(out.routes, out.metrics, *out.runtime);
  out.net->start(out.routes, out.errors, *out.doors, out.doors->policy());
  std::string where;
  for (const Listener& l : out.net->all()) where += (where.empty() ? "" : ", ") + shown(l);
  std::printf("lathe %s serves %zu endpoints of %s at %s (state in %s)\n", std::string(kVersion).c_str(),
              out.runtime->live().size(), options.control.url.c_str(), where.c_str(), options.dir.c_str());
  std::fflush(stdout);
  return {};
}

}  // namespace

int serve_plane(const PlaneOptions& options) {
  base::log::configure(options.log_level, options.log_json);
  prepare_process();
  const sigset_t signals = block_signals();
  std::jthread last_word;
  {
    Outpost out;
    if (auto opened = open(out, options); !opened) return give_up(opened.error());
    int signal = 0;
    while (sigwait(&signals, &signal) != 0 || signal == SIGHUP) {
      if (signal == SIGHUP && out.tls) out.tls->refresh(true);
    }
    base::log::info("draining", {{"signal", signal}, {"connections", out.net->connections()}});
    last_word = std::jthread(end_in_time);
    if (!out.net->drain(base::limits::kDrainUs - kModulesUs)) {
      base::log::error("a request did not end in time", {{"connections", out.net->connections()}});
      std::fflush(nullptr);
      _exit(1);
    }
  }
  base::log::info("stopped");
  return 0;
}

}  // namespace server
