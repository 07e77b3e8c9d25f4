#include "store/postgres_guard.h"

#include <libpq-fe.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "base/hash.h"
#include "base/log.h"

namespace store::detail {
namespace {

constexpr int kIdleMs = 1'000;
constexpr int kLockTries = 20;  // a server that was killed leaves the lock as soon as PostgreSQL sees it gone
constexpr auto kLockWait = std::chrono::milliseconds(100);

int64_t lock_key(std::string_view schema) {
  return static_cast<int64_t>(base::stable_hash64(0, "lathe server\n" + std::string(schema)));
}

// "lathe on host a, pid 7, from 10.0.0.3, since 2026-11-24 23:19:57+00"
std::string holder_of(PgConn& conn, int64_t key) {
  const std::string sql =
      "SELECT a.application_name || coalesce(', from ' || host(a.client_addr), '') || ', since ' ||"
      " date_trunc('second', a.backend_start)::text FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
      " WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted"
      " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
      " AND (l.classid::bigint << 32 | l.objid::bigint) = " +
      std::to_string(key);
  auto result = conn.simple(sql);
  if (!result || PQntuples(result->get()) == 0 || PQgetisnull(result->get(), 0, 0)) return "another server";
  return PQgetvalue(result->get(), 0, 0);
}

}  // namespace

base::Result<std::unique_ptr<PgGuard>> PgGuard::start(const PgConn::Settings& settings,
                                                      std::function<void()> on_notify) {
  std::unique_ptr<PgGuard> guard(new PgGuard(settings, std::move(on_notify)));
  guard->wake_ = base::Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!guard->wake_) return base::errno_error("eventfd", errno);
  TRY(guard->connect());
  guard->thread_ = std::thread([self = guard.get()] { self->run(); });
  return guard;
}

PgGuard::~PgGuard() {
  stopping_ = true;
  if (wake_) ::eventfd_write(wake_.get(), 1);
  if (thread_.joinable()) thread_.join();
}

void PgGuard::notify() {
  if (!notify_due_.exchange(true)) ::eventfd_write(wake_.get(), 1);
}

base::Result<void> PgGuard::connect() {
  TRY_SET(auto conn, PgConn::open(settings_));
  const int64_t key = lock_key(settings_.schema);
  for (int tries = 1;; ++tries) {
    auto locked = conn->simple("SELECT pg_try_advisory_lock(" + std::to_string(key) + ")");
    if (!locked) return std::unexpected(std::move(locked).error().error);
    if (PQgetvalue(locked->get(), 0, 0)[0] == 't') break;
    if (tries == kLockTries || stopping_) {
      return base::fail(base::Code::kConflict, "this PostgreSQL database is held by " + holder_of(*conn, key));
    }
    std::this_thread::sleep_for(kLockWait);
  }
  if (auto listening = conn->simple("LISTEN lathe_events"); !listening) {
    return std::unexpected(std::move(listening).error().error);
  }
  conn_ = std::move(conn);
  held_ = true;
  return {};
}

void PgGuard::run() {
  while (!stopping_) {
    if (held_) {
      serve();
      continue;
    }
    if (auto connected = connect(); !connected) {
      base::log::warn("PostgreSQL: the server's lock is not held; nothing is written",
                      {{"error", connected.error().message}});
      pollfd wait{wake_.get(), POLLIN, 0};
      ::poll(&wait, 1, kIdleMs);
    } else {
      on_notify_();  // whatever came while we were deaf
    }
  }
}

void PgGuard::serve() {
  pollfd wait[] = {{PQsocket(conn_->handle()), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
  ::poll(wait, 2, kIdleMs);
  eventfd_t ignored;
  ::eventfd_read(wake_.get(), &ignored);
  bool alive = true;
  if (notify_due_.exchange(false)) alive = conn_->simple("NOTIFY lathe_events").has_value();
  alive = alive && PQconsumeInput(conn_->handle()) == 1 && !conn_->lost();
  bool heard = false;
  while (PGnotify* notification = alive ? PQnotifies(conn_->handle()) : nullptr) {
    heard = heard || notification->be_pid != PQbackendPID(conn_->handle());
    PQfreemem(notification);
  }
  if (heard) on_notify_();
  if (alive) return;
  held_ = false;
  conn_.reset();
}

}  // namespace store::detail
