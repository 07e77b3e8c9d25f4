#include "store/store.h"

#include <condition_variable>
#include <mutex>

#include "base/assert.h"
#include "store/jobs.h"
#include "store/kept.h"
#include "store/postgres_conn.h"
#include "store/sqlite_conn.h"

namespace store {

base::Result<std::unique_ptr<Store>> Store::open(const Options& options, std::span<const ModuleMigrations> modules,
                                                 base::Registry* metrics) {
  if (options.url.starts_with("sqlite:")) return detail::open_sqlite(options, modules, metrics);
  if (options.url.starts_with("postgresql://") || options.url.starts_with("postgres://")) {
    return detail::open_postgres(options, modules, metrics);
  }
  return base::invalid("store '" + options.url + "' is not one of sqlite:PATH, postgresql://USER@HOST/DATABASE");
}

Kept* kept_beside(Tx& tx) {
  if (const auto* sqlite = dynamic_cast<detail::SqliteTx*>(&tx)) return sqlite->kept();
  if (const auto* postgres = dynamic_cast<detail::PgTx*>(&tx)) return postgres->kept();
  return nullptr;
}

struct BlockingSignal::Impl {
  std::mutex mutex;
  std::condition_variable changed;
  bool set = false;
};

BlockingSignal::BlockingSignal() : impl_(std::make_unique<Impl>()) { ASSERT_ALWAYS(base::Loop::current() == nullptr); }
BlockingSignal::~BlockingSignal() = default;

void BlockingSignal::set() {
  // Under the lock to the end: the waiter may destroy us as soon as it sees the flag.
  std::lock_guard lock(impl_->mutex);
  impl_->set = true;
  impl_->changed.notify_one();
}

void BlockingSignal::wait() {
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait(lock, [&] { return impl_->set; });
}

}  // namespace store
