// The process that has loaded a Python model and forks its workers: started, told, heard and ended. Its standard output
// and error, and its workers', go into the log, so many lines at most.
// Thread: one, the supervisor's, which must outlive the process: the kernel ends it with the thread that started it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/fs.h"
#include "base/result.h"

namespace serve::python {

class Keeper {
 public:
  Keeper() = default;
  Keeper(const Keeper&) = delete;
  ~Keeper() { finish(); }

  base::Result<void> start(const base::Path& folder, const base::Path& interpreter, size_t memory_bytes);
  bool running() const { return pid_ > 0; }
  void order(const std::string& text, std::span<const base::Fd> with = {});
  std::optional<std::string> hear();  // one message; "" at its end; null when there is none yet
  // Ends it, first by closing its control socket; how it ended.
  std::string finish();

  void read_output();
  std::string tail() const { return tail_; }  // the last lines
  int control() const { return control_.get(); }
  int output() const { return output_.get(); }

 private:
  void log_line(std::string_view line);

  base::Path folder_;
  pid_t pid_ = 0;
  base::Fd pidfd_;
  base::Fd control_;
  base::Fd output_;
  std::string line_;  // not ended yet
  std::string tail_;
  int64_t window_us_ = 0;
  size_t lines_ = 0;  // in this window
  size_t dropped_ = 0;
};

}  // namespace serve::python
