// Durable writes a second on SQLite: one after the other (an fsync each) against many at once (group commit), on the
// same disk in one run. A write is a row and its event, as create_run is. Prints one JSON line a case.
//   store_bench [DIR] [SECONDS]
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>

#include "base/fs.h"
#include "core/event.h"
#include "core/migrations.h"
#include "store/store.h"

namespace {

constexpr store::Migration kRuns[] = {{1, R"(
CREATE TABLE bench_runs (id $id, project $int NOT NULL, uuid $text NOT NULL, name $text NOT NULL, start_us $int NOT NULL,
  UNIQUE (project, uuid));
)"}};

base::Result<int64_t> create_run(store::Tx& tx) {
  const std::string uuid = tx.ctx().new_hex32();
  const auto id =
      tx.query_i64("INSERT INTO bench_runs (project, uuid, name, start_us) VALUES (?, ?, ?, ?) RETURNING id",
                   tx.project(), uuid, "bench", tx.now_us());
  core::emit(tx, "run.created", "run", uuid);
  TRY(tx.status());
  return id.value_or(0);
}

double cpu_seconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

base::Task<void> client(store::Store& store, int64_t until_us, int64_t& written) {
  while (base::system_clock().mono_us() < until_us) {
    const auto run = co_await store.write(base::Context::system(base::system_clock()), create_run);
    if (!run) {
      std::fprintf(stderr, "store_bench: %s\n", run.error().message.c_str());
      std::exit(1);
    }
    ++written;
  }
}

double measure(store::Store& store, int clients, double seconds) {
  int64_t written = 0;
  const int64_t begun = base::system_clock().mono_us();
  const double cpu = cpu_seconds();
  const int64_t until_us = begun + static_cast<int64_t>(seconds * 1e6);
  auto all = [&]() -> base::Task<void> {
    base::TaskScope scope;
    for (int i = 0; i < clients; ++i) scope.spawn(client(store, until_us, written));
    co_await scope.join();
  };
  base::run_blocking(all());
  const double took = static_cast<double>(base::system_clock().mono_us() - begun) / 1e6;
  const double rate = static_cast<double>(written) / took;
  std::printf("{\"clients\": %d, \"writes_per_s\": %.0f, \"cpu_us_per_write\": %.1f}\n", clients, rate,
              (cpu_seconds() - cpu) * 1e6 / static_cast<double>(written));
  return rate;
}

}  // namespace

int main(int argc, char** argv) {
  const auto dir = base::make_temp_dir(argc > 1 ? argv[1] : ".", "store-bench-");
  if (!dir) return std::fprintf(stderr, "store_bench: %s\n", dir.error().message.c_str()), 1;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 3;
  {
    const store::ModuleMigrations modules[] = {core::migrations(), {"bench", kRuns}};
    const auto store =
        store::Store::open({.url = "sqlite:" + (*dir / "bench.db").string(), .holder = "store_bench"}, modules);
    if (!store) return std::fprintf(stderr, "store_bench: %s\n", store.error().message.c_str()), 1;
    const double alone = measure(**store, 1, seconds);
    const double together = measure(**store, 64, seconds);
    std::printf("{\"grouped_over_single\": %.1f}\n", together / alone);
  }
  (void)base::remove_tree(*dir);
}
