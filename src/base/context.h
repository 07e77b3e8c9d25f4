// Context: who asks, for which project, when, and until when. One is made at the door of each request and handed down;
// a domain function takes time, ids and randomness only from it (through its Tx) and so may be run again.
//
// Thread: a Context is a value; the objects it points to outlive the request.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/ids.h"
#include "base/trace.h"

namespace base {

enum class ActorKind : uint8_t { kSystem, kLocal, kUser, kService, kAttempt };

// Who acts. kLocal is the owner of the server process on loopback; kAttempt is a stage's own token.
struct Actor {
  ActorKind kind = ActorKind::kSystem;
  std::string name = "system";  // for audit lines and events: "local", "user:ann", "attempt:at_…"
  std::string attempt;          // kAttempt: the attempt's public id, else empty
};

// Permissions a route asks for; roles map onto them (core/identity.h).
// kPlane: what a data plane asks of its control plane (src/plane); no other right includes it.
enum class Permission : uint8_t { kNone, kRead, kWrite, kRunCode, kInfer, kAdmin, kPlane };

inline constexpr int64_t kDefaultProject = 1;  // row id of project `default`; = MLflow's workspace `default`

struct Context {
  Actor actor;
  int64_t project = kDefaultProject;
  std::string request_id;
  int64_t now_us = 0;            // wall time at which the request was accepted
  int64_t deadline_mono_us = 0;  // 0: none
  std::stop_token cancelled;     // requested when the peer has gone or the server drains
  Random* random = &system_random();
  TraceContext trace;  // empty: not traced

  std::string new_id(std::string_view kind) const { return make_id(kind, *random, now_us); }
  std::string new_hex32() const { return random_hex(*random, 16); }

  // For work the server does on its own: schedulers, monitors, migrations.
  static Context system(const Clock& clock, std::string name = "system") {
    Context ctx;
    ctx.actor.name = std::move(name);
    ctx.now_us = clock.wall_us();
    return ctx;
  }
};

}  // namespace base
