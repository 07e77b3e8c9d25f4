// The warden holds the processes of stages, so that they survive the server.
//
//   server ── Unix socket in DIR ── warden ── minder (one per attempt) ── /bin/sh -c CMD … and all that it starts
//
// The warden is forked before the server has any thread, lives in a session of its own, and takes Start, Query, Kill
// and Stop frames from one server at a time. Each attempt has a minder: a child subreaper that owns the attempt's files
// under DIR/attempts/<id>/ (lock, log, status), enforces time and memory, ends every process below it, and writes the
// status durably before it goes. When the server is gone and nothing runs, the warden ends. If the warden itself dies,
// minders end their stages, and a keeper process starts another warden.
//
// Start is idempotent by attempt id: the folder of an attempt is made before its process, and an attempt whose folder
// exists is never started again. Formats: docs/formats/warden.md.
//
// Thread: launch_warden is called before the process has threads; the rest is safe anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "flow/frame.h"
#include "flow/scheduler.h"

namespace flow {

inline constexpr int kWardenProtocol = 1;
inline constexpr int64_t kKillGraceUs = 5'000'000;  // from TERM to KILL
inline constexpr int64_t kMemorySampleUs = 200'000;
inline constexpr int64_t kMaxLogBytes = int64_t{64} << 20;  // per attempt; past it the log says so and ends

struct StartRequest {
  std::string attempt;  // letters, digits, '_'
  base::Path cwd;
  std::string cmd;               // for /bin/sh -c
  std::vector<std::string> env;  // "K=V", the whole environment
  int64_t timeout_us = 0;        // 0: none
  int64_t memory_bytes = 0;      // 0: no limit
  int64_t log_bytes = kMaxLogBytes;
  int64_t grace_us = kKillGraceUs;

  Frame to_frame() const;
  static base::Result<StartRequest> from_frame(const Frame& frame);
};

struct AttemptStatus {
  Outcome outcome = Outcome::kLost;
  int exit_code = -1;  // -1: ended by a signal, or never ran
  int signal = 0;
  std::string detail;  // for people: "exit code 3"
  int64_t started_us = 0;
  int64_t ended_us = 0;

  std::string to_text() const;
  static AttemptStatus from_text(std::string_view text);
};

// Forks a warden for DIR, or finds the one that lives; answers a socket on which it has said Hello.
base::Result<base::Fd> launch_warden(const base::Path& dir);
// Finds one that lives. kUnavailable if none does.
base::Result<base::Fd> connect_warden(const base::Path& dir);
// Ends the warden of DIR and every process that it holds; at once if there is none. Waits for its end.
base::Result<void> stop_warden(const base::Path& dir, int64_t timeout_us);

base::Path attempt_dir(const base::Path& dir, std::string_view attempt);
bool is_attempt_id(std::string_view text);

namespace detail {
[[noreturn]] void run_warden(const base::Path& dir, base::Fd first_client);                        // warden_main.cc
[[noreturn]] void run_minder(const base::Path& folder, const StartRequest& request, int control);  // minder.cc
base::Result<base::Fd> lock_file(const base::Path& path, bool wait);  // flock; kConflict if held and not waiting
void block_signals_of_children();  // SIGCHLD, SIGTERM, SIGINT, SIGHUP: to be read from a signalfd
void close_all_but(std::vector<int> keep);
int64_t wall_us();
int64_t mono_us();
}  // namespace detail

}  // namespace flow
