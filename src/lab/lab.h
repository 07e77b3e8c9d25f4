// Notebook servers: one JupyterLab per person, the one they have installed, as a child that survives this server. What
// is true of each is a row; Lab (keeper.h) is what moves them. No HTTP here: api/lathe/lab is the door.
//
// Thread: functions on a Tx; values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "store/tx.h"

namespace lab {

inline constexpr int64_t kDefaultIdleUs = int64_t{3} * 3600 * 1'000'000;  // without work: stopped
inline constexpr int64_t kMinIdleUs = 1'000'000;
inline constexpr int64_t kMaxIdleUs = int64_t{30} * 24 * 3600 * 1'000'000;
inline constexpr int64_t kMinMemory = int64_t{256} << 20;
inline constexpr int64_t kStartUs = 120'000'000;  // from its start to its first answer; past it: failed
inline constexpr size_t kMaxServers = 256;        // that run at once
inline constexpr size_t kMaxPath = 4096;

enum class State : uint8_t { kStopped = 0, kStarting = 1, kRunning = 2, kStopping = 3, kFailed = 4 };  // stored
std::string_view name(State state);

struct Server {
  std::string owner;  // as in /user/OWNER/
  std::string id;     // "lab_…", of its latest start; also its attempt with the warden
  int64_t project = 0;
  State state = State::kStopped;
  std::string root;          // folder that it shows
  std::string program;       // jupyter-lab, or a Python that has jupyterlab
  int64_t memory_bytes = 0;  // 0: no limit
  int64_t idle_us = kDefaultIdleUs;
  int64_t started_us = 0;
  int64_t ended_us = 0;
  std::string detail;  // why it ended, for people
  std::string token;   // id of what it speaks to us with, if that is its owner's
};

struct NewServer {
  std::string owner;
  std::string root;
  std::string program;
  int64_t memory_bytes = 0;
  int64_t idle_us = kDefaultIdleUs;
};

struct Begun {
  Server server;
  std::string token;  // for what runs in it, to speak to us; "" when the server was there already
};

// The owner's server, from stopped or failed to starting, with a token of its own. One that is starting or runs is left
// as it is. kConflict while it stops.
base::Result<Begun> begin(store::Tx& tx, const NewServer& server);
// The state's next value; false when the row is about a later start by now. What ends takes its token along.
base::Result<bool> move(store::Tx& tx, std::string_view owner, std::string_view id, State state,
                        std::string_view detail);
base::Result<std::vector<Server>> all(store::Tx& tx);

// Who may have a server, by their name in URLs; kForbidden for stages and services.
base::Result<std::string> owner_of(const base::Actor& actor);

}  // namespace lab
