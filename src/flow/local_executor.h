// Attempts as processes of this machine: makes the workspace, has the warden start the command in it, takes the outs.
//   DIR/workspaces/<run>/<attempt>/   the workspace; removed after success, of failed ones the newest few are kept
//   DIR/attempts/<attempt>/     log, status, lock: the minder's (flow/warden.h)
// Thread: see executor.h. Has threads of its own: one that reads the warden's socket, two that work on files.
#pragma once

#include <functional>
#include <memory>

#include "base/fs.h"
#include "flow/executor.h"

namespace flow {

inline constexpr size_t kKeptWorkspaces = 10;   // of failed attempts
inline constexpr size_t kKeptAttempts = 5'000;  // logs of ended attempts

struct LocalExecutorOptions {
  base::Path dir;
  int64_t grace_us = 0;  // from TERM to KILL; 0: the warden's default
};

// `warden`: from launch_warden(). Lost later, the connection is made again.
std::unique_ptr<Executor> make_local_executor(LocalExecutorOptions options, blob::BlobStore& blobs, base::Fd warden);

}  // namespace flow
