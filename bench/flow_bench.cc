// flow_bench [--json]: how many task transitions a second go through the real store, and how long it takes from the end
// of one local task to the start of the next. Transitions: a stage that begins and a stage that ends, each with its
// attempt, token, events, audit line and lineage, durable. Processes are left out of the first figure and in the
// second.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "base/process.h"
#include "blob/migrations.h"
#include "core/migrations.h"
#include "flow/engine.h"
#include "flow/local_executor.h"
#include "flow/migrations.h"
#include "flow/warden.h"

namespace {

using namespace flow;

constexpr int64_t kPatienceUs = 240'000'000;

// Every attempt succeeds at once.
class InstantExecutor final : public Executor {
 public:
  void observe(std::function<void(AttemptNews)> sink) override { sink_ = std::move(sink); }
  void submit(AttemptSpec spec) override {
    sink_({.kind = AttemptNews::Kind::kEnded,
           .attempt = spec.attempt,
           .handle = "",
           .outcome = Outcome::kSucceeded,
           .detail = "",
           .outs = {}});
  }
  void adopt(AttemptSpec spec, std::string_view) override { submit(std::move(spec)); }
  void cancel(std::string_view, std::string_view) override {}
  void release(std::string_view, bool) override {}

 private:
  std::function<void(AttemptNews)> sink_;
};

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "flow_bench: %s\n", why.c_str());
  std::exit(1);
}

template <class T>
T must(base::Result<T> result) {
  if (!result) give_up(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::unique_ptr<store::Store> open_store(const base::Path& dir) {
  static const store::ModuleMigrations modules[] = {core::migrations(), blob::migrations(), migrations()};
  return must(store::Store::open({.url = "sqlite:" + (dir / "lathe.db").string(), .holder = "flow_bench"}, modules));
}

base::Context context() { return base::Context::system(base::system_clock()); }

void wait_until_all_ended(store::Store& store) {
  const int64_t until = base::system_clock().mono_us() + kPatienceUs;
  while (must(store.read_blocking(context(), [](store::Tx& tx) { return live_run_rows(tx); })).size() > 0) {
    if (base::system_clock().mono_us() > until) give_up("the runs do not end");
    ::usleep(2000);
  }
}

// `runs` runs of `width` independent stages, then one that needs them all.
double transitions_per_second(const base::Path& dir, int runs, int width) {
  auto store = open_store(dir);
  PipelineSpec spec{.name = "bench", .bundle = ""};
  StageSpec last{.name = "last", .group = "last", .cmd = "true", .always = true};
  for (int i = 0; i < width; ++i) {
    const std::string name = "task" + std::to_string(i);
    spec.stages.push_back({.name = name, .group = "task", .cmd = "true", .always = true});
    last.after.push_back(name);
  }
  spec.stages.push_back(last);
  must(store->write_blocking(context(), [&](store::Tx& tx) -> base::Result<void> {
    TRY(put_pipeline(tx, spec));
    for (int i = 0; i < runs; ++i) TRY(create_run(tx, {.pipeline = "bench", .bundle = ""}));
    return {};
  }));
  EngineOptions options{.server_url = "http://127.0.0.1:1", .slots = 64};
  const int64_t begin = base::system_clock().mono_us();
  Engine engine(*store, base::system_clock(), std::make_unique<InstantExecutor>(), options, nullptr);
  must(engine.start());
  wait_until_all_ended(*store);
  const double seconds = static_cast<double>(base::system_clock().mono_us() - begin) / 1e6;
  return 2.0 * runs * (width + 1) / seconds;
}

// A chain of local tasks: from the end in one's status to the start in the next one's, in milliseconds, sorted.
std::vector<double> handovers(const base::Path& dir, base::Fd warden, int length) {
  auto store = open_store(dir);
  auto blobs = must(blob::BlobStore::open(dir));
  PipelineSpec spec{.name = "chain", .bundle = ""};
  for (int i = 0; i < length; ++i) {
    StageSpec stage{.name = "t" + std::to_string(i), .group = "t", .cmd = "true", .always = true};
    if (i > 0) stage.after.push_back("t" + std::to_string(i - 1));
    spec.stages.push_back(std::move(stage));
  }
  EngineOptions options{.server_url = "http://127.0.0.1:1", .env = base::allowed_environment(), .slots = 2};
  Engine engine(*store, base::system_clock(), make_local_executor({.dir = dir}, *blobs, std::move(warden)), options,
                nullptr);
  must(engine.start());
  const PipelineRun run = must(store->write_blocking(context(), [&](store::Tx& tx) -> base::Result<PipelineRun> {
    TRY(put_pipeline(tx, spec));
    return create_run(tx, {.pipeline = "chain", .bundle = ""});
  }));
  wait_until_all_ended(*store);
  const auto stages = must(store->read_blocking(
      context(), [&](store::Tx& tx) -> base::Result<std::vector<StageRow>> { return list_stages(tx, run.id); }));
  std::vector<double> out;
  int64_t ended = 0;
  for (const StageRow& stage : stages) {
    const AttemptStatus status =
        AttemptStatus::from_text(must(base::read_file(attempt_dir(dir, stage.attempt) / "status")));
    if (ended != 0) out.push_back(static_cast<double>(status.started_us - ended) / 1000);
    ended = status.ended_us;
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const bool json = argc > 1 && std::strcmp(argv[1], "--json") == 0;
  const char* tmp = std::getenv("TMPDIR");
  const base::Path dir = must(base::make_temp_dir(tmp ? tmp : "/tmp", "flow-bench"));
  must(base::make_dirs(dir / "a"));
  base::Fd warden = must(launch_warden(dir / "b"));  // before there are threads
  const double rate = transitions_per_second(dir / "a", 100, 24);
  const std::vector<double> gaps = handovers(dir / "b", std::move(warden), 100);
  must(stop_warden(dir / "b", 10'000'000));
  (void)base::remove_tree(dir);
  const double median = gaps[gaps.size() / 2], p99 = gaps[gaps.size() * 99 / 100];
  if (json)
    std::printf("{\"transitions_per_second\": %.0f, \"handover_median_ms\": %.3f, \"handover_p99_ms\": %.3f}\n", rate,
                median, p99);
  else
    std::printf(
        "%.0f task transitions/s through the store; end of a task to the start of the next: median %.2f ms, p99 %.2f "
        "ms\n",
        rate, median, p99);
  return 0;
}
