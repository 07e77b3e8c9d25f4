// The connection that makes this server the only one on its PostgreSQL database: it holds a session's advisory lock,
// and carries the wake-ups of events between processes (LISTEN/NOTIFY). When it breaks, it is made anew; until the lock
// is held again, nothing is written.
//
// NOTIFY goes out after the commits, many at once and outside of their transactions: inside, PostgreSQL would commit
// every transaction that notifies one after the other, fsync and all.
//
// Thread: one of its own; notify() and held() from anywhere.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "base/fs.h"
#include "store/postgres_conn.h"

namespace store::detail {

class PgGuard {
 public:
  // kConflict, with who holds it, when another server has the lock.
  static base::Result<std::unique_ptr<PgGuard>> start(const PgConn::Settings& settings,
                                                      std::function<void()> on_notify);
  ~PgGuard();

  bool held() const { return held_.load(); }
  void notify();  // tell other processes that events were committed

 private:
  PgGuard(const PgConn::Settings& settings, std::function<void()> on_notify)
      : settings_(settings), on_notify_(std::move(on_notify)) {}
  base::Result<void> connect();
  void run();
  void serve();  // one turn of the loop on a living connection

  const PgConn::Settings settings_;
  const std::function<void()> on_notify_;
  base::Fd wake_;  // eventfd
  std::atomic<bool> held_{false};
  std::atomic<bool> notify_due_{false};
  std::atomic<bool> stopping_{false};
  std::unique_ptr<PgConn> conn_;
  std::thread thread_;
};

}  // namespace store::detail
