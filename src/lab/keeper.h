// Keeper: starts and stops the notebook servers, adopts those that outlived an earlier server of ours, and ends those
// in which nobody works. A kernel that computes is work; an open browser tab is not.
//
// The world is passed in: Children holds the processes (the warden does), Ask speaks HTTP to one over its socket.
// Thread: one of its own does everything; start(), stop(), find(), touch() and list() are safe anywhere. Ownership:
// outlives the routes that use it; destroying it leaves what runs running.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"
#include "lab/lab.h"
#include "store/store.h"

namespace lab {

struct ChildSpec {
  std::string id;
  base::Path cwd;
  std::string command;  // for /bin/sh
  std::map<std::string, std::string> env;
  int64_t memory_bytes = 0;
};

struct ChildNews {
  std::string id;
  bool runs = false;   // else it has ended, or never was
  bool clean = false;  // it ended of itself, or was told to
  std::string detail;  // "exit code 1", "it used 2048 MiB of memory, its limit is …"
};

class Children {
 public:
  virtual ~Children() = default;
  virtual void observe(std::function<void(ChildNews)> sink) = 0;  // once, first; called on any thread
  virtual void start(ChildSpec spec) = 0;
  virtual void adopt(std::string_view id) = 0;  // answered by news
  virtual void stop(std::string_view id, std::string_view why) = 0;
  virtual base::Path log_of(std::string_view id) const = 0;
};

struct Question {
  base::Path socket;
  std::string path;  // with the query
  std::string token;
};
using Ask = std::function<base::Result<std::string>(const Question&)>;  // the body of a 2xx; blocks, with a limit

struct KeeperOptions {
  base::Path dir;                          // DIR/lab: sockets and the key that tokens are made from; 0700
  std::string server_url;                  // how notebooks reach us
  std::map<std::string, std::string> env;  // of every notebook server
  int64_t look_us = 60'000'000;            // between looks at what is at work
};

// How the door reaches a running server.
struct Reach {
  std::string id;
  base::Path socket;
  std::string token;
};

struct Report {  // what a page shows
  Server server;
  int64_t active_us = 0;  // the last sign of work, wall time
  int kernels = 0, busy = 0, terminals = 0;
};

class Keeper {
 public:
  Keeper(store::Store& store, const base::Clock& clock, std::unique_ptr<Children> children, Ask ask,
         KeeperOptions options);
  ~Keeper();
  Keeper(const Keeper&) = delete;

  base::Result<void> start();  // once: takes over what is there

  // After begin() has been committed: runs it. After move(…, kStopping): ends it.
  void run(const Begun& begun);
  void end(std::string_view owner, std::string_view why);

  std::shared_ptr<const Reach> reach(std::string_view owner) const;  // null unless it runs
  std::vector<Report> reports() const;
  Report report(std::string_view owner) const;      // kStopped when there never was one
  void touch(std::string_view owner);               // its person does something
  base::Path log_of(std::string_view owner) const;  // "" when there is none

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace lab
