// Where attempts run. Four calls and a stream of news; the same for local processes and for whatever comes later.
//
// Idempotent by attempt id: submitting, adopting or cancelling one twice is one act. An executor keeps no state that
// matters: what is true of an attempt is in the store, and after a restart the engine asks about each by adopt(). What
// cannot be reached is not gone: no news is no news.
//
// Thread: all calls from the engine's thread; none blocks. The sink is called from threads of the executor.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "blob/blob.h"
#include "flow/scheduler.h"

namespace flow {

struct WorkFile {
  std::string path;  // in the workspace
  base::Digest sha256;
  bool executable = false;
};

struct AttemptSpec {
  std::string attempt;
  std::string run;
  std::string cmd;                                      // for /bin/sh -c
  std::string wdir;                                     // in the workspace; "" its root
  std::map<std::string, std::string> env;               // the whole environment
  std::shared_ptr<const std::vector<WorkFile>> bundle;  // shared by the attempts of a bundle
  std::vector<WorkFile> inputs;   // outs of other stages and data; they win over the bundle's files
  std::vector<std::string> outs;  // files and folders to take at the end
  int64_t timeout_us = 0;
  int64_t memory_bytes = 0;
};

struct OutFile {
  std::string path;
  blob::BlobInfo blob;
  bool executable = false;
};

struct AttemptNews {
  enum class Kind : uint8_t { kStarted, kEnded };
  Kind kind = Kind::kStarted;
  std::string attempt;
  std::string handle;  // kStarted: opaque, kept with the attempt, given back to adopt()
  Outcome outcome = Outcome::kSucceeded;
  std::string detail;
  std::vector<OutFile> outs;  // kEnded and succeeded: in the BlobStore, durable
};

class Executor {
 public:
  virtual ~Executor() = default;                                    // stops observing; what runs goes on
  virtual void observe(std::function<void(AttemptNews)> sink) = 0;  // once, before the other calls
  virtual void submit(AttemptSpec spec) = 0;
  // An attempt that an earlier server committed: answered by kStarted (it runs) or kEnded (perhaps kNotStarted, kLost).
  virtual void adopt(AttemptSpec spec, std::string_view handle) = 0;
  virtual void cancel(std::string_view attempt, std::string_view why) = 0;
  // The end has been committed: forget it; the workspace may go.
  virtual void release(std::string_view attempt, bool keep_workspace) = 0;
};

}  // namespace flow
