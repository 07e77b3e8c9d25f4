// Held: long-lived children with the warden, for rooms that have processes of their own beside the stages of pipelines.
// The same protocol, files and guarantees as attempts (warden.h): started once by id, adopted after a restart, ended
// with all that they started.
//
// Thread: start(), adopt() and stop() from anywhere; the sink is called from a thread of its own, and no more once the
// destructor has returned. Destroying it leaves the processes running.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/fs.h"
#include "flow/warden.h"

namespace flow {

struct HeldNews {
  std::string id;
  bool runs = false;  // else `status` says how it ended; kNotStarted: the warden never heard of it
  AttemptStatus status;
};

class Held {
 public:
  Held(base::Path dir, std::function<void(HeldNews)> sink);
  ~Held();
  Held(const Held&) = delete;

  void start(const StartRequest& request);
  void adopt(std::string_view id);
  void stop(std::string_view id, std::string_view why);

 private:
  struct Told {         // what is said again over a new connection
    std::string first;  // a Start or a Query, encoded
    std::string kill;   // "" : it may run
  };
  void listen();
  bool connect();
  bool read();
  void hear(const Frame& frame);
  void send(std::string_view bytes);  // with mutex_ held

  base::Path dir_;
  std::function<void(HeldNews)> sink_;
  std::mutex mutex_;
  base::Fd socket_;  // under mutex_ but for the listener's own reading
  std::map<std::string, Told, std::less<>> told_;
  FrameReader reader_;
  base::Fd wake_;  // eventfd: the end
  std::thread thread_;
};

}  // namespace flow
