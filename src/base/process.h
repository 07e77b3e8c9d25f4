// Child processes that we start and wait for: short helpers of the same binary (DuckDB, model trials). What must
// survive the server is started by the warden (flow/warden.h), not from here.
// Thread: safe anywhere; run_child blocks its thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/fs.h"
#include "base/result.h"

namespace base {

struct ChildSpec {
  std::vector<std::string> argv;           // argv[0] is a path
  std::map<std::string, std::string> env;  // the whole environment
  Path cwd;                                // empty: ours
  std::string stdin_bytes;
  int64_t timeout_us = 0;                      // 0: none; past it the process group gets SIGKILL
  size_t max_output_bytes = size_t{16} << 20;  // per stream; more is read and dropped, and `truncated` says so
};

struct ChildResult {
  int exit_code = -1;  // -1 when ended by a signal
  int signal = 0;
  bool timed_out = false;
  bool truncated = false;
  std::string out;
  std::string err;
  bool ok() const { return exit_code == 0; }
  std::string describe() const;  // "exit code 3", "signal 11 (Segmentation fault)", "timed out after 20 s"
};

// Fails only if the process could not be started.
Result<ChildResult> run_child(const ChildSpec& spec);

// Variables of this process's environment that a child may see: PATH, HOME, LANG, LC_*, TZ, TMPDIR, USER, SSL_CERT_*,
// OPENBLAS_*, OMP_NUM_THREADS. Everything else is passed by name only.
std::map<std::string, std::string> allowed_environment();

}  // namespace base
