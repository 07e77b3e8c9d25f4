#include "flow/local_executor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "base/log.h"
#include "flow/warden.h"
#include "flow/workspace.h"

namespace flow {
namespace {

namespace fs = std::filesystem;

constexpr int kReconnectMs = 100;
constexpr size_t kPruneEvery = 64;  // releases between looks at old attempts' folders

// A few threads over one queue. Each attempt has at most three pieces of work, and slots bound the attempts.
class Workers {
 public:
  explicit Workers(size_t threads) {
    for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
  }
  ~Workers() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  void add(std::function<void()> work) {
    {
      std::lock_guard lock(mutex_);
      queue_.push_back(std::move(work));
    }
    wake_.notify_one();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (stop_) return;  // what is left is repeated after the next start
      auto work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      work();
      lock.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

std::string boot_handle() {
  auto id = base::read_file("/proc/sys/kernel/random/boot_id", 64);
  if (!id) return "local:";
  while (id->ends_with('\n')) id->pop_back();
  return "local:" + *id;
}

class LocalExecutor final : public Executor {
 public:
  LocalExecutor(LocalExecutorOptions options, blob::BlobStore& blobs, base::Fd warden)
      : options_(std::move(options)),
        blobs_(blobs),
        handle_(boot_handle()),
        socket_(std::move(warden)),
        stop_(::eventfd(0, EFD_CLOEXEC)) {
    std::error_code error;
    if (base::Path whole = fs::absolute(options_.dir, error); !error) options_.dir = std::move(whole);
  }

  ~LocalExecutor() override {
    const uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);
    if (reader_.joinable()) reader_.join();
    workers_.reset();
  }

  void observe(std::function<void(AttemptNews)> sink) override {
    sink_ = std::move(sink);
    workers_ = std::make_unique<Workers>(2);
    reader_ = std::thread([this] { read_warden(); });
  }

  void submit(AttemptSpec spec) override {
    const std::string attempt = spec.attempt;
    {
      std::lock_guard lock(mutex_);
      Entry entry{.spec = std::make_shared<const AttemptSpec>(std::move(spec))};
      if (!entries_.try_emplace(attempt, std::move(entry)).second) return;
    }
    workers_->add([this, attempt] { prepare(attempt); });
  }

  void adopt(AttemptSpec spec, std::string_view handle) override {
    const std::string attempt = spec.attempt;
    std::lock_guard lock(mutex_);
    Entry entry{.spec = std::make_shared<const AttemptSpec>(std::move(spec)), .stage = Stage::kAsked};
    entry.foreign = !handle.empty() && handle != handle_;
    if (!entries_.try_emplace(attempt, std::move(entry)).second) return;
    send({.type = FrameType::kQuery, .fields = {attempt}});
  }

  void cancel(std::string_view attempt, std::string_view why) override {
    std::lock_guard lock(mutex_);
    const auto entry = entries_.find(std::string(attempt));
    if (entry == entries_.end() || entry->second.stage == Stage::kEnded) return;
    entry->second.kill = why;
    if (entry->second.stage != Stage::kPreparing) send(kill_frame(entry->first, entry->second));
  }

  void release(std::string_view attempt, bool keep_workspace) override {
    std::shared_ptr<const AttemptSpec> spec;
    {
      std::lock_guard lock(mutex_);
      const auto entry = entries_.find(std::string(attempt));
      if (entry == entries_.end()) return;
      spec = entry->second.spec;
      entries_.erase(entry);
    }
    workers_->add([this, spec, keep_workspace] { tidy(*spec, keep_workspace); });
  }

 private:
  enum class Stage : uint8_t {
    kPreparing,  // the workspace is being made
    kSent,       // the warden was told to start it; said again after a new connection
    kAsked,      // adopted: the warden was asked about it
    kEnded,      // the end is being, or was, reported
  };
  struct Entry {
    std::shared_ptr<const AttemptSpec> spec;
    Stage stage = Stage::kPreparing;
    std::string kill;      // not empty: to be ended, and why
    bool started = false;  // reported
    bool foreign = false;  // started on another machine, or before this one booted
  };

  base::Path workspace_of(const AttemptSpec& spec) const {
    return options_.dir / "workspaces" / spec.run / spec.attempt;
  }

  Frame kill_frame(const std::string& attempt, const Entry& entry) const {
    return {.type = FrameType::kKill, .fields = {attempt, std::string(name(Outcome::kKilled)), entry.kill}};
  }

  Frame start_frame(const AttemptSpec& spec) const {
    StartRequest request{.attempt = spec.attempt, .cwd = workspace_of(spec) / spec.wdir, .cmd = spec.cmd, .env = {}};
    for (const auto& [key, value] : spec.env) request.env.push_back(key + "=" + value);
    request.timeout_us = spec.timeout_us;
    request.memory_bytes = spec.memory_bytes;
    if (options_.grace_us > 0) request.grace_us = options_.grace_us;
    return request.to_frame();
  }

  void prepare(const std::string& attempt) {
    std::shared_ptr<const AttemptSpec> spec;
    {
      std::lock_guard lock(mutex_);
      const auto entry = entries_.find(attempt);
      if (entry == entries_.end()) return;
      spec = entry->second.spec;
    }
    const auto built = build_workspace(workspace_of(*spec), *spec, blobs_);
    const Frame start = start_frame(*spec);
    std::string failure = built ? "" : "its workspace could not be made: " + built.error().message;
    if (encode(start).size() > kMaxFrameBytes)
      failure = "its command and environment are longer than " + std::to_string(kMaxFrameBytes) + " bytes";
    AttemptNews news{.kind = AttemptNews::Kind::kEnded,
                     .attempt = attempt,
                     .handle = {},
                     .outcome = Outcome::kFailed,
                     .detail = failure};
    {
      std::lock_guard lock(mutex_);
      const auto entry = entries_.find(attempt);
      if (entry == entries_.end()) return;
      if (!entry->second.kill.empty()) {
        news.outcome = Outcome::kKilled, news.detail = entry->second.kill;
        entry->second.stage = Stage::kEnded;
      } else if (!failure.empty()) {
        entry->second.stage = Stage::kEnded;
      } else {
        entry->second.stage = Stage::kSent;
        send(start);
        return;
      }
    }
    sink_(std::move(news));
  }

  void collect(const std::string& attempt, const AttemptStatus& status) {
    std::shared_ptr<const AttemptSpec> spec;
    {
      std::lock_guard lock(mutex_);
      const auto entry = entries_.find(attempt);
      if (entry == entries_.end()) return;
      spec = entry->second.spec;
    }
    AttemptNews news{.kind = AttemptNews::Kind::kEnded,
                     .attempt = attempt,
                     .handle = {},
                     .outcome = status.outcome,
                     .detail = status.detail};
    auto outs = collect_outs(workspace_of(*spec), spec->outs, blobs_);
    if (outs) {
      news.outs = std::move(*outs);
    } else {
      news.outcome = Outcome::kFailed;
      news.detail = std::move(outs).error().message;
    }
    sink_(std::move(news));
  }

  // With mutex_ held. A connection that breaks here is noticed by the reader, which says everything again.
  void send(const Frame& frame) {
    if (!socket_) return;
    const std::string bytes = encode(frame);
    for (std::string_view rest = bytes; !rest.empty();) {
      const ssize_t n = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return;
      rest.remove_prefix(static_cast<size_t>(n));
    }
  }

  void read_warden() {
    FrameReader reader;
    for (;;) {
      int fd = -1;
      {
        std::lock_guard lock(mutex_);
        fd = socket_.get();
      }
      if (fd < 0) {
        pollfd wait{stop_.get(), POLLIN, 0};
        if (::poll(&wait, 1, kReconnectMs) > 0) return;
        reader = FrameReader();
        reconnect();
        continue;
      }
      pollfd fds[2] = {{fd, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      if (::poll(fds, 2, -1) < 0) continue;
      if (fds[1].revents) return;
      char buffer[65536];
      const ssize_t n = ::read(fd, buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) continue;
      if (n > 0) reader.feed({buffer, static_cast<size_t>(n)});
      if (n <= 0 || !handle_all(reader)) {
        base::log::warn("the connection to the warden was lost; connecting again");
        std::lock_guard lock(mutex_);
        socket_.reset();
      }
    }
  }

  // After the warden's death its keeper starts another. Start is idempotent, so everything is simply said again.
  void reconnect() {
    auto fd = connect_warden(options_.dir);
    if (!fd) return;
    std::lock_guard lock(mutex_);
    socket_ = std::move(*fd);
    for (const auto& [attempt, entry] : entries_) {
      if (entry.stage == Stage::kSent) send(start_frame(*entry.spec));
      if (entry.stage == Stage::kAsked) send({.type = FrameType::kQuery, .fields = {attempt}});
      if (!entry.kill.empty() && (entry.stage == Stage::kSent || entry.stage == Stage::kAsked))
        send(kill_frame(attempt, entry));
    }
  }

  bool handle_all(FrameReader& reader) {
    for (;;) {
      auto frame = reader.next();
      if (!frame) return false;
      if (!*frame) return true;
      handle(**frame);
    }
  }

  void handle(const Frame& frame) {
    const std::string& attempt = frame.field(0);
    AttemptNews news{.kind = AttemptNews::Kind::kEnded, .attempt = attempt};
    {
      std::lock_guard lock(mutex_);
      const auto found = entries_.find(attempt);
      if (found == entries_.end() || found->second.stage == Stage::kEnded) return;
      Entry& entry = found->second;
      if (frame.type == FrameType::kStarted) {
        if (!entry.kill.empty()) send(kill_frame(attempt, entry));
        if (std::exchange(entry.started, true)) return;
        news.kind = AttemptNews::Kind::kStarted, news.handle = handle_;
      } else if (frame.type == FrameType::kEnded) {
        entry.stage = Stage::kEnded;
        const AttemptStatus status = AttemptStatus::from_text(frame.field(1));
        if (status.outcome == Outcome::kSucceeded)
          return workers_->add([this, attempt, status] { collect(attempt, status); });
        news.outcome = status.outcome, news.detail = status.detail;
      } else if (frame.type == FrameType::kUnknown && entry.stage == Stage::kAsked) {
        entry.stage = Stage::kEnded;
        news.outcome = entry.foreign ? Outcome::kLost : Outcome::kNotStarted;
        news.detail = entry.foreign ? "it was started on another machine, or before this one was booted"
                                    : "the server ended before it was started";
      } else {
        return;
      }
    }
    sink_(std::move(news));
  }

  // Removes this workspace, or keeps it and removes older ones; leftovers of a crash go the same way.
  void tidy(const AttemptSpec& spec, bool keep) {
    if (!keep) (void)base::remove_tree(workspace_of(spec));
    remove_run_folder(spec.run);
    prune(options_.dir / "workspaces", 2, kKeptWorkspaces);
    if (releases_++ % kPruneEvery == 0) prune(options_.dir / "attempts", 1, kKeptAttempts);
  }

  // Keeps the newest `limit` folders at `depth` below `root`, not counting attempts that are not over.
  void prune(const base::Path& root, int depth, size_t limit) {
    std::vector<std::pair<fs::file_time_type, base::Path>> found;
    std::error_code error;
    for (fs::recursive_directory_iterator at(root, error), end; !error && at != end; at.increment(error)) {
      if (at.depth() + 1 < depth) continue;
      at.disable_recursion_pending();
      if (at.depth() + 1 != depth || !at->is_directory(error) || is_known(at->path().filename().string())) continue;
      if (depth == 1 && !detail::lock_file(at->path() / "lock", false)) continue;  // it runs: another room's (held.h)
      found.emplace_back(at->last_write_time(error), at->path());
    }
    if (found.size() <= limit) return;
    std::ranges::sort(found);
    for (size_t i = 0; i < found.size() - limit; ++i) {
      (void)base::remove_tree(found[i].second);
      if (depth > 1) remove_run_folder(found[i].second.parent_path().filename().string());
    }
  }

  // Only an empty one. An attempt of the run that is being submitted may be about to make its workspace in it.
  void remove_run_folder(const std::string& run) {
    std::lock_guard lock(mutex_);
    for (const auto& [attempt, entry] : entries_)
      if (entry.spec->run == run) return;
    std::error_code error;
    fs::remove(options_.dir / "workspaces" / run, error);
  }

  bool is_known(const std::string& attempt) {
    std::lock_guard lock(mutex_);
    return entries_.contains(attempt);
  }

  LocalExecutorOptions options_;
  blob::BlobStore& blobs_;
  const std::string handle_;
  std::function<void(AttemptNews)> sink_;
  std::mutex mutex_;
  base::Fd socket_;                                 // under mutex_ but for the reader's own read
  std::unordered_map<std::string, Entry> entries_;  // under mutex_
  std::atomic<size_t> releases_{0};
  base::Fd stop_;
  std::unique_ptr<Workers> workers_;
  std::thread reader_;
};

}  // namespace

std::unique_ptr<Executor> make_local_executor(LocalExecutorOptions options, blob::BlobStore& blobs, base::Fd warden) {
  return std::make_unique<LocalExecutor>(std::move(options), blobs, std::move(warden));
}

}  // namespace flow
