// The processes of one Python model: a keeper that has loaded it, and the workers that the keeper forks (python/
// worker.py). A seat is one conversation with a worker; a worker has one, unless the model says that it may be asked
// concurrently.
//
// Workers are forked on demand between `min` and `max`, and again after a crash. One that does not answer in time, or
// takes more memory than it may, is killed. Several crashes without an answer between them open a breaker: requests
// fail at once with what the worker said last, and one worker is tried after a pause that doubles.
//
// Ownership: a supervisor thread starts the keeper, reads what the processes say and restarts them; the kernel kills
// them with that thread (PDEATHSIG), so they outlive neither the model nor the server.
// Thread: call() from many threads that may wait. Errors: kUnavailable (no worker, with the reason), kDeadline,
// kInvalid (predict() refused the input).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "serve/model.h"
#include "serve/python_wire.h"

namespace serve::python {

struct Options {
  base::Path folder;                      // the model's files
  base::Path interpreter;                 // "" = find_interpreter()
  ServingSettings serving;                // of the endpoint, over what the model says
  size_t queue = 256;                     // requests waiting for a seat; past it: kUnavailable
  int64_t load_timeout_us = 120'000'000;  // from start to the first ready worker
};

// LATHE_PYTHON, else the active environment's (VIRTUAL_ENV), else python3 or python on PATH.
base::Result<base::Path> find_interpreter();

struct Trouble {  // what stands on the endpoint's page
  std::string reason;
  bool open = false;  // requests are refused
};

class Workers {
 public:
  // Waits until one worker is ready; its hello is in `hello`. The model's traceback is in the error.
  static base::Result<std::unique_ptr<Workers>> start(const Options& options, std::string& hello);
  virtual ~Workers() = default;
  // One predict(): waits for a seat and for the answer. `frame` as encode() made it.
  virtual base::Result<Frame> call(std::string_view frame, const Call& call) = 0;
  // At any time; in force from the next request on.
  virtual void resize(const RunLimits& limits) = 0;
  virtual RunLimits limits() const = 0;
  virtual WorkerStatistics statistics() const = 0;
  virtual Trouble trouble() const = 0;
  virtual size_t seats() const = 0;  // conversations at once, at most
};

}  // namespace serve::python
