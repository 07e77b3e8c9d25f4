#include "serve/python_workers.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "serve/python_keeper.h"
#include "serve/python_scaling.h"

namespace serve::python {
namespace {

namespace json = base::json;

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kSampleUs = 250'000;         // memory and idleness are looked at this often
constexpr int64_t kReasonWaitUs = 500'000;     // from a broken conversation to the word how its worker ended
constexpr size_t kCrashesToOpen = 3;           // without an answer between them
constexpr int64_t kMaxPauseUs = 30 * kSecond;  // of the breaker
constexpr size_t kPieceBytes = size_t{1} << 20;

int64_t now_us() { return base::system_clock().mono_us(); }

struct Process {
  uint64_t number = 0;
  pid_t pid = 0;
  bool ready = false;
  bool retired = false;  // takes no new request; ends after those that it runs
  bool ended = false;
  bool told = false;  // why it did not start was said, and counted
  std::string doom;   // why we end it
  std::string how;    // how it ended
  int64_t started_us = 0;
  size_t base_bytes = 0;    // proportional memory when it was ready
  size_t memory_bytes = 0;  // beyond that, when it was started
};

struct Seat {
  std::shared_ptr<Process> process;
  base::Fd socket;
  std::string incoming;    // of the frame that is being read
  int64_t kill_at_us = 0;  // of a conversation whose request has gone; 0: none
  int64_t used_us = 0;
  int64_t timeout_us = 0;  // of the conversation that begins
};

enum class Progress : uint8_t { kWhole, kMore, kEnd };

// Reads what is there. kWhole: `incoming` is a head and its body.
Progress read_some(Seat& seat, Head& head, std::string& trouble) {
  for (;;) {
    size_t want = kHeadBytes;
    if (seat.incoming.size() >= kHeadBytes) {
      const auto read = decode_head(seat.incoming);
      if (!read) {
        trouble = read.error().message;
        return Progress::kEnd;
      }
      head = *read;
      want = kHeadBytes + head.bytes;
      if (seat.incoming.size() == want) return Progress::kWhole;
    }
    // Before the head is known a whole small answer may come at once; it is the only frame in flight.
    const size_t have = seat.incoming.size();
    const size_t room = have < kHeadBytes ? 4096 : std::min(want - have, kPieceBytes);
    ssize_t n = 0;
    seat.incoming.resize_and_overwrite(have + room, [&](char* data, size_t) {
      n = ::recv(seat.socket.get(), data + have, room, MSG_DONTWAIT);
      return have + static_cast<size_t>(std::max<ssize_t>(n, 0));
    });
    if (n == 0) return Progress::kEnd;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN ? Progress::kMore : Progress::kEnd;
    if (seat.incoming.size() >= kHeadBytes) {
      const auto read = decode_head(seat.incoming);
      if (read && seat.incoming.size() > kHeadBytes + read->bytes) {
        trouble = "the Python worker sent more than one answer";
        return Progress::kEnd;
      }
    }
  }
}

size_t number_of_kib(const std::string& text, std::string_view key) {
  const size_t at = text.find(key);
  return at == text.npos ? 0 : std::strtoull(text.c_str() + at + key.size(), nullptr, 10) * 1024;
}

size_t proportional_bytes(pid_t pid) {
  const auto text = base::read_file("/proc/" + std::to_string(pid) + "/smaps_rollup", 1 << 16);
  return text ? number_of_kib(*text, "\nPss:") : 0;
}
size_t resident_bytes(pid_t pid) {
  const auto text = base::read_file("/proc/" + std::to_string(pid) + "/status", 1 << 16);
  return text ? number_of_kib(*text, "VmRSS:") : 0;
}
size_t available_bytes() {
  const auto text = base::read_file("/proc/meminfo", 1 << 16);
  return text ? number_of_kib(*text, "MemAvailable:") : 0;
}

class WorkersImpl final : public Workers {
 public:
  explicit WorkersImpl(const Options& options)
      : options_(options),
        wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        free_bytes_(available_bytes() / 2),
        limits_(run_limits(options.serving)) {}
  ~WorkersImpl() override;
  base::Result<void> begin(std::string& hello);

  base::Result<Frame> call(std::string_view frame, const Call& call) override;
  WorkerStatistics statistics() const override;
  Trouble trouble() const override;
  size_t seats() const override {
    std::lock_guard lock(mutex_);
    return limits_.max_workers * concurrency_;
  }
  void resize(const RunLimits& limits) override {
    std::lock_guard lock(mutex_);
    limits_ = limits;
    if (!std::exchange(described_, true)) {  // the first worker has read the model's own word on memory by itself
      for (const auto& entry : processes_) entry.second->memory_bytes = limits.memory_bytes;
    }
    wake();
  }
  RunLimits limits() const override {
    std::lock_guard lock(mutex_);
    RunLimits out = limits_;
    out.memory_bytes = memory_bytes();
    return out;
  }

 private:
  struct Waiter {
    uint32_t priority = 0;
    std::condition_variable wake;
    std::shared_ptr<Seat> seat;
    int64_t since_us = 0;
  };

  // --- requests
  base::Result<std::shared_ptr<Seat>> take_seat(const Call& call);
  base::Result<Frame> converse(const std::shared_ptr<Seat>& seat, std::string_view frame, const Call& call);
  base::Error ended(const std::shared_ptr<Seat>& seat, const std::string& trouble);
  void give_back(const std::shared_ptr<Seat>& seat, bool answered);
  void offer(const std::shared_ptr<Seat>& seat);  // holds mutex_
  base::Error refusal() const;                    // holds mutex_
  void wake() {
    const uint64_t one = 1;
    std::ignore = ::write(wake_.get(), &one, sizeof one);
  }

  // --- the supervisor; all with mutex_ held but where it waits
  void supervise();
  void look(int64_t now);
  void start_worker(int64_t now);
  void hear_keeper();
  void keeper_gone(const std::string& why);
  void hear_start(const std::shared_ptr<Seat>& seat);
  void hear_abandoned(const std::shared_ptr<Seat>& seat);
  void process_ended(uint64_t number, const std::string& how);
  void doom(const std::shared_ptr<Process>& process, const std::string& why);
  void crashed(const std::string& reason);
  void sample(int64_t now);
  void watch_memory();
  void let_go(int64_t now);
  void retire(const std::shared_ptr<Process>& process);
  void park(const std::shared_ptr<Seat>& seat);
  size_t live() const;
  int64_t patience_us(int64_t now) const;
  size_t memory_bytes() const { return limits_.memory_bytes ? limits_.memory_bytes : free_bytes_; }

  const Options options_;
  const base::Fd wake_;
  const size_t free_bytes_;  // half of what was free
  mutable std::mutex mutex_;
  std::condition_variable news_;  // a worker became ready, a process ended, the start failed
  RunLimits limits_;
  Keeper keeper_;
  bool loaded_ = false;  // the keeper answers orders
  bool stopping_ = false;
  bool serving_ = false;    // the first worker was ready once
  bool described_ = false;  // limits_ knows what the model itself says
  size_t concurrency_ = 1;
  uint64_t next_number_ = 1;
  std::map<uint64_t, std::shared_ptr<Process>> processes_;
  std::vector<std::shared_ptr<Seat>> starting_;  // first seats of workers that have not said hello
  std::map<uint64_t, std::vector<std::shared_ptr<Seat>>> more_seats_;
  std::map<uint64_t, std::vector<std::shared_ptr<Seat>>> leaving_;  // retired workers that still run requests
  std::vector<std::shared_ptr<Seat>> idle_;
  std::vector<std::shared_ptr<Seat>> abandoned_;
  std::deque<Waiter*> waiting_;  // by priority, then arrival
  size_t busy_ = 0;
  uint64_t started_ = 0, crashed_ = 0, waited_ = 0, wait_us_ = 0;
  size_t failures_ = 0;  // crashes since the last answer
  int64_t open_until_us_ = 0;
  std::string reason_;  // of the last failure
  std::string hello_;
  int64_t load_began_us_ = 0;
  int64_t sampled_us_ = 0;
  std::thread supervisor_;
};

WorkersImpl::~WorkersImpl() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake();
  if (supervisor_.joinable()) supervisor_.join();
}

base::Result<void> WorkersImpl::begin(std::string& hello) {
  supervisor_ = std::thread([this] { supervise(); });
  std::unique_lock lock(mutex_);
  const auto limit = std::chrono::microseconds(options_.load_timeout_us);
  if (!news_.wait_for(lock, limit, [&] { return serving_ || !reason_.empty(); })) {
    return base::fail(base::Code::kDeadline, "the Python model was not ready after " +
                                                 std::to_string(options_.load_timeout_us / kSecond) + " s");
  }
  if (!serving_) return base::invalid("the Python model does not start: " + reason_);
  hello = hello_;
  return {};
}

// --- requests -------------------------------------------------------------------------------------------------------

base::Error WorkersImpl::refusal() const {
  return {base::Code::kUnavailable,
          "the model's Python workers keep failing and are tried again in a moment: " + reason_};
}

base::Result<std::shared_ptr<Seat>> WorkersImpl::take_seat(const Call& call) {
  std::unique_lock lock(mutex_);
  if (open_until_us_ > now_us()) return std::unexpected(refusal());
  if (!idle_.empty() && waiting_.empty()) {
    auto seat = std::move(idle_.back());
    idle_.pop_back();
    ++busy_;
    seat->timeout_us = limits_.timeout_us;
    return seat;
  }
  if (waiting_.size() >= options_.queue) {
    return base::fail(base::Code::kUnavailable,
                      "the model is busy and " + std::to_string(options_.queue) + " requests wait for it; try again");
  }
  Waiter waiter{.priority = std::max<uint32_t>(call.priority, 1), .since_us = now_us()};
  waiting_.insert(std::ranges::upper_bound(waiting_, waiter.priority, {}, &Waiter::priority), &waiter);
  wake();  // another worker may be started
  const int64_t until_us = call.deadline_mono_us ? call.deadline_mono_us : waiter.since_us + limits_.timeout_us;
  while (!waiter.seat) {
    const int64_t now = now_us();
    const bool expired = call.begin_by_mono_us != 0 && call.begin_by_mono_us < now;
    const int64_t left_us = (call.begin_by_mono_us ? std::min(until_us, call.begin_by_mono_us + 1) : until_us) - now;
    const bool gone = call.cancelled.stop_requested(), open = open_until_us_ > now_us();
    if (left_us <= 0 || gone || open || stopping_) {
      std::erase(waiting_, &waiter);
      if (open) return std::unexpected(refusal());
      if (expired) return base::fail(base::Code::kUnavailable, kTimeoutExpired);
      if (left_us <= 0) return base::fail(base::Code::kDeadline, "no Python worker was free in the request's time");
      return base::fail(base::Code::kCancelled, "the client went away");
    }
    waiter.wake.wait_for(lock, std::chrono::microseconds(std::min(left_us, kSampleUs)));
  }
  ++waited_;
  wait_us_ += static_cast<uint64_t>(std::max<int64_t>(now_us() - waiter.since_us, 0));
  waiter.seat->timeout_us = limits_.timeout_us;
  return std::move(waiter.seat);
}

void WorkersImpl::offer(const std::shared_ptr<Seat>& seat) {
  if (seat->process->retired) {
    park(seat);
  } else if (!waiting_.empty()) {
    Waiter* first = waiting_.front();
    waiting_.pop_front();
    first->seat = seat;
    ++busy_;
    first->wake.notify_one();
  } else {
    idle_.push_back(seat);
  }
}

void WorkersImpl::give_back(const std::shared_ptr<Seat>& seat, bool answered) {
  std::lock_guard lock(mutex_);
  --busy_;
  seat->incoming.clear();
  if (seat->incoming.capacity() > kPieceBytes) seat->incoming.shrink_to_fit();
  if (answered && failures_ > 0) {
    failures_ = 0;
    reason_.clear();
  }
  seat->used_us = now_us();
  if (!seat->process->ended && seat->process->doom.empty()) offer(seat);
}

// The conversation broke off: waits a moment for the word how the worker ended.
base::Error WorkersImpl::ended(const std::shared_ptr<Seat>& seat, const std::string& trouble) {
  std::unique_lock lock(mutex_);
  --busy_;
  const auto process = seat->process;
  if (!trouble.empty()) doom(process, trouble);
  wake();
  news_.wait_for(lock, std::chrono::microseconds(kReasonWaitUs), [&] { return process->ended; });
  std::string how = !process->doom.empty() ? process->doom
                    : process->ended       ? "it ended with " + process->how
                                           : "it is gone";
  return {base::Code::kUnavailable, "the model's Python worker failed while it ran this request: " + how};
}

base::Result<Frame> WorkersImpl::converse(const std::shared_ptr<Seat>& seat, std::string_view frame, const Call& call) {
  const int fd = seat->socket.get();
  const int64_t timeout_us = seat->timeout_us, kill_at_us = now_us() + timeout_us;
  const auto overdue = [&]() -> base::Result<Frame> {
    std::lock_guard lock(mutex_);
    --busy_;
    const std::string why = "it did not answer within " + std::to_string(timeout_us / 1000) + " ms";
    doom(seat->process, why);
    wake();
    return base::fail(base::Code::kDeadline, "the model's Python worker was ended: " + why);
  };
  for (size_t sent = 0; sent < frame.size();) {  // a worker reads at once: only its own limit counts here
    const ssize_t n = ::send(fd, frame.data() + sent, frame.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      sent += static_cast<size_t>(n);
    } else if (n < 0 && errno == EAGAIN) {
      pollfd p{.fd = fd, .events = POLLOUT, .revents = 0};
      if (::poll(&p, 1, static_cast<int>(kSampleUs / 1000)) == 0 && now_us() > kill_at_us) return overdue();
    } else if (!(n < 0 && errno == EINTR)) {
      return std::unexpected(ended(seat, ""));
    }
  }
  Head head;
  std::string trouble;
  for (;;) {
    const int64_t now = now_us();
    const int64_t until_us = call.deadline_mono_us ? std::min(call.deadline_mono_us, kill_at_us) : kill_at_us;
    pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
    ::poll(&p, 1, static_cast<int>(std::clamp<int64_t>((until_us - now) / 1000 + 1, 0, 60'000)));
    const Progress progress = read_some(*seat, head, trouble);
    if (progress == Progress::kEnd) return std::unexpected(ended(seat, trouble));
    if (progress == Progress::kWhole) break;
    if (now_us() < until_us) continue;
    if (now_us() >= kill_at_us) return overdue();
    // The request's time is over, the worker's is not: whoever asks with a short deadline ends no worker.
    std::lock_guard lock(mutex_);
    --busy_;
    seat->kill_at_us = kill_at_us;
    abandoned_.push_back(seat);
    wake();
    return base::fail(base::Code::kDeadline, "the request's time was over before the model had answered");
  }
  auto answer = decode_body(head, std::string_view(seat->incoming).substr(kHeadBytes));
  if (!answer) return std::unexpected(ended(seat, answer.error().message));
  give_back(seat, answer->kind == Kind::kAnswer || answer->kind == Kind::kRefused);
  return answer;
}

base::Result<Frame> WorkersImpl::call(std::string_view frame, const Call& call) {
  TRY_SET(const auto seat, take_seat(call));
  TRY_SET(Frame answer, converse(seat, frame, call));
  switch (answer.kind) {
    case Kind::kAnswer: return answer;
    case Kind::kRefused: return base::invalid("the model's predict() failed: " + answer.text);
    default: return base::fail(base::Code::kInternal, "the model's predict() failed: " + answer.text);
  }
}

WorkerStatistics WorkersImpl::statistics() const {
  std::lock_guard lock(mutex_);
  const auto ready = std::ranges::count_if(processes_, [](const auto& entry) { return entry.second->ready; });
  return {.workers = static_cast<size_t>(ready),
          .busy = busy_,
          .waiting = waiting_.size(),
          .started = started_,
          .crashed = crashed_,
          .waited = waited_,
          .wait_us = wait_us_};
}

Trouble WorkersImpl::trouble() const {
  std::lock_guard lock(mutex_);
  return {reason_, open_until_us_ > now_us()};
}

// --- the supervisor -------------------------------------------------------------------------------------------------

// A failure that nobody asked for. The first start is not tried again: whoever loads is told.
void WorkersImpl::crashed(const std::string& reason) {
  reason_ = reason;
  ++crashed_;
  ++failures_;
  base::log::warn("a Python model's worker failed", {{"model", options_.folder.string()}, {"reason", reason}});
  if (failures_ >= kCrashesToOpen) {
    const auto doubled = std::min<size_t>(failures_ - kCrashesToOpen, 5);
    open_until_us_ = now_us() + std::min(kMaxPauseUs, kSecond << doubled);
    for (Waiter* waiter : waiting_) waiter->wake.notify_one();
  }
  news_.notify_all();
}

void WorkersImpl::doom(const std::shared_ptr<Process>& process, const std::string& why) {
  if (process->ended || !process->doom.empty()) return;
  process->doom = why;
  std::erase_if(idle_, [&](const auto& seat) { return seat->process == process; });
  keeper_.order("{\"kill\":" + std::to_string(process->pid) + "}");
}

void WorkersImpl::process_ended(uint64_t number, const std::string& how) {
  const auto found = processes_.find(number);
  if (found == processes_.end()) return;
  const auto process = found->second;
  processes_.erase(found);
  process->ended = true;
  process->how = how;
  const auto its = [&](const auto& seat) { return seat->process == process; };
  std::erase_if(idle_, its);
  std::erase_if(abandoned_, its);
  // What it wanted to say before it ended (a traceback from its start) is read first.
  for (const auto& seat : std::vector(starting_)) {
    if (its(seat)) hear_start(seat);
  }
  std::erase_if(starting_, its);
  more_seats_.erase(number);
  const bool busy = leaving_.erase(number) > 0;  // retired, and not done yet: this end was nobody's wish
  if ((!process->retired || busy) && !stopping_ && !process->told) {
    const std::string tail = keeper_.tail();
    crashed((process->doom.empty() ? "it ended with " + how : process->doom) +
            (tail.empty() ? "" : "\nits last output:\n" + tail));
  }
  news_.notify_all();
}

void WorkersImpl::keeper_gone(const std::string& why) {
  if (!keeper_.running()) return;
  const std::string how = keeper_.finish();
  loaded_ = false;
  const auto all = std::move(processes_);
  processes_.clear();
  for (const auto& entry : all) {  // the kernel ends them with the keeper
    entry.second->ended = true;
    entry.second->how = "the end of the process that it was forked from";
  }
  idle_.clear();
  abandoned_.clear();
  starting_.clear();
  more_seats_.clear();
  leaving_.clear();
  if (!stopping_) {
    const std::string tail = keeper_.tail();
    crashed(!why.empty() ? why : "it ended with " + how + (tail.empty() ? "" : "\nits last output:\n" + tail));
  }
  news_.notify_all();
}

void WorkersImpl::hear_keeper() {
  for (;;) {
    const auto message = keeper_.hear();
    if (!message) return;                          // nothing more for now
    if (message->empty()) return keeper_gone("");  // its end
    const auto parsed = base::parse_json(*message);
    if (!parsed || !parsed->is_object()) return keeper_gone("it sent what is no message");
    const json::object& said = parsed->as_object();
    const auto number = [&](const char* key) -> int64_t {
      const auto* value = said.if_contains(key);
      return value && value->is_int64() ? value->as_int64() : 0;
    };
    if (const auto* failed = said.if_contains("failed"); failed && failed->is_string()) {
      return keeper_gone(std::string(failed->as_string().c_str()));
    }
    if (said.contains("loaded")) {
      loaded_ = true;
      concurrency_ = static_cast<size_t>(std::clamp<int64_t>(number("concurrency"), 1, 64));
      if (const auto* forks = said.if_contains("forks"); forks && forks->is_bool() && !forks->as_bool())
        base::log::info("a Python model starts threads when it loads; each worker loads it anew",
                        {{"model", options_.folder.string()}});
    } else if (said.contains("started")) {
      const auto found = processes_.find(static_cast<uint64_t>(number("started")));
      if (found != processes_.end()) found->second->pid = static_cast<pid_t>(number("pid"));
    } else if (const auto* how = said.if_contains("how"); how && how->is_string()) {
      process_ended(static_cast<uint64_t>(number("ended")), how->as_string().c_str());
    }
  }
}

void WorkersImpl::start_worker(int64_t now) {
  auto process = std::make_shared<Process>();
  process->number = next_number_++;
  process->started_us = now;
  process->memory_bytes = limits_.memory_bytes;
  std::vector<std::shared_ptr<Seat>> seats;
  std::vector<base::Fd> theirs;
  for (size_t i = 0; i < concurrency_; ++i) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return;
    auto seat = std::make_shared<Seat>();
    seat->process = process;
    seat->socket = base::Fd(fds[0]);
    seat->used_us = now;
    theirs.emplace_back(fds[1]);
    seats.push_back(std::move(seat));
  }
  processes_.emplace(process->number, process);
  ++started_;
  starting_.push_back(seats[0]);
  more_seats_[process->number] = {seats.begin() + 1, seats.end()};
  keeper_.order(
      "{\"start\":" + std::to_string(process->number) + ",\"memory\":" + std::to_string(process->memory_bytes) + "}",
      theirs);
}

void WorkersImpl::hear_start(const std::shared_ptr<Seat>& seat) {
  Head head;
  std::string trouble;
  const Progress progress = read_some(*seat, head, trouble);
  if (progress == Progress::kMore) return;
  std::erase(starting_, seat);
  if (progress == Progress::kEnd) return;  // the keeper tells how it ended
  const auto frame = decode_body(head, std::string_view(seat->incoming).substr(kHeadBytes));
  seat->incoming.clear();
  const auto process = seat->process;
  if (!frame || frame->kind != Kind::kHello) {
    process->told = true;
    return crashed(frame ? frame->text : frame.error().message);
  }
  if (process->ended) return;
  process->ready = true;
  process->base_bytes = proportional_bytes(process->pid);
  hello_ = frame->text;
  serving_ = true;
  offer(seat);
  for (const auto& more : more_seats_[process->number]) offer(more);
  news_.notify_all();
}

// The answer to a request that has gone: dropped, and the seat is free again.
void WorkersImpl::hear_abandoned(const std::shared_ptr<Seat>& seat) {
  Head head;
  std::string trouble;
  const Progress progress = read_some(*seat, head, trouble);
  if (progress == Progress::kMore) return;
  std::erase(abandoned_, seat);
  seat->incoming = {};
  seat->kill_at_us = 0;
  seat->used_us = now_us();
  if (progress == Progress::kWhole && !seat->process->ended && seat->process->doom.empty()) return offer(seat);
  if (!trouble.empty()) doom(seat->process, trouble);
}

void WorkersImpl::sample(int64_t now) {
  if (now - sampled_us_ < kSampleUs) return;
  sampled_us_ = now;
  watch_memory();
  for (const auto& seat : abandoned_) {
    if (now > seat->kill_at_us)
      doom(seat->process, "it did not answer within " + std::to_string(seat->timeout_us / 1000) + " ms");
  }
  let_go(now);
}

void WorkersImpl::watch_memory() {
  for (const auto& entry : std::map(processes_)) {
    const auto& process = entry.second;
    if (!process->ready || !process->doom.empty()) continue;
    const size_t limit = process->base_bytes + memory_bytes();
    // Resident memory counts what is shared with the keeper, and is cheap to read.
    if (resident_bytes(process->pid) > limit && proportional_bytes(process->pid) > limit)
      doom(process, "it took more than " + std::to_string(memory_bytes() >> 20) + " MiB of memory");
  }
}

size_t WorkersImpl::live() const {
  return static_cast<size_t>(std::ranges::count_if(
      processes_, [](const auto& entry) { return !entry.second->retired && entry.second->doom.empty(); }));
}

// A worker ends with the first of its sockets, so all are closed together: when each of its requests was answered.
void WorkersImpl::park(const std::shared_ptr<Seat>& seat) {
  const auto found = leaving_.find(seat->process->number);
  if (found == leaving_.end()) return;
  found->second.push_back(seat);
  if (found->second.size() < concurrency_) return;
  more_seats_.erase(found->first);
  leaving_.erase(found);
}

void WorkersImpl::retire(const std::shared_ptr<Process>& process) {
  process->retired = true;
  leaving_[process->number];
  for (const auto& seat : std::vector(idle_)) {
    if (seat->process != process) continue;
    std::erase(idle_, seat);
    park(seat);
  }
}

// Ends workers that rest: those beyond what is wanted that have rested long enough, the longest idle ones first (what
// was used last is at the back); and those that were started with another limit of memory, which others replace. Those
// beyond the most that may be, which a lower setting leaves, do not wait until they rest.
void WorkersImpl::let_go(int64_t now) {
  size_t left = live();
  const auto serves = [](const auto& entry) {
    const Process& process = *entry.second;
    return process.ready && !process.retired && process.doom.empty();
  };
  for (const auto& entry : processes_) {
    const auto& process = entry.second;
    if (!serves(entry)) continue;
    const bool stale = process->memory_bytes != limits_.memory_bytes, above = left > limits_.max_workers;
    if (!stale && left <= limits_.min_workers) continue;
    const int64_t rest_us = stale || above ? 0 : limits_.idle_us;
    const auto resting = std::ranges::count_if(
        idle_, [&](const auto& seat) { return seat->process == process && now - seat->used_us >= rest_us; });
    if (static_cast<size_t>(resting) < concurrency_) continue;
    retire(process);
    --left;
  }
  // Of those that serve: what is still starting must not push them out before it can take their place.
  size_t serving = static_cast<size_t>(std::ranges::count_if(processes_, serves));
  for (const auto& entry : processes_) {
    if (serving <= std::max<size_t>(limits_.max_workers, 1)) return;
    if (!serves(entry)) continue;
    retire(entry.second);
    --serving;
  }
}

// Until a request has waited long enough for another worker.
int64_t WorkersImpl::patience_us(int64_t now) const {
  const int64_t left_us = waiting_.empty() ? 0 : waiting_.front()->since_us + kPatienceUs - now;
  return left_us > 0 ? std::clamp<int64_t>(left_us, 1000, kSampleUs) : kSampleUs;
}

// What there is to do without news.
void WorkersImpl::look(int64_t now) {
  sample(now);
  if (!serving_ && !reason_.empty()) return;  // the first start failed: whoever waits for it ends us
  if (open_until_us_ > now) return;
  if (!keeper_.running()) {
    load_began_us_ = now;
    if (auto started = keeper_.start(options_.folder, options_.interpreter, memory_bytes()); !started)
      crashed(started.error().message);
    return;
  }
  if (!loaded_) {
    if (now - load_began_us_ > options_.load_timeout_us) keeper_gone("it did not load in time");
    return;
  }
  const Load load{.live = live(),
                  .starting = starting_.size(),
                  .seats = concurrency_,
                  .waiting = waiting_.size(),
                  .longest_wait_us = waiting_.empty() ? 0 : now - waiting_.front()->since_us};
  // The first is started also with min 0: it says what the model is. So is one after a crash.
  const size_t least = std::max<size_t>(limits_.min_workers, !serving_ || failures_ > 0 ? 1 : 0);
  size_t wanted = wanted_workers(load, least, limits_.max_workers);
  if (failures_ >= kCrashesToOpen) wanted = 1;  // half open: one is tried
  for (size_t n = load.live; n < wanted; ++n) start_worker(now);
  for (const auto& seat : std::vector(starting_)) {
    if (now - seat->process->started_us > options_.load_timeout_us) doom(seat->process, "it was not ready in time");
  }
}

void WorkersImpl::supervise() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    look(now_us());
    std::vector<pollfd> fds = {{wake_.get(), POLLIN, 0}, {keeper_.control(), POLLIN, 0}, {keeper_.output(), POLLIN, 0}};
    const auto starting = starting_, abandoned = abandoned_;
    for (const auto& seat : starting) fds.push_back({seat->socket.get(), POLLIN, 0});
    for (const auto& seat : abandoned) fds.push_back({seat->socket.get(), POLLIN, 0});
    const int64_t wait_us = patience_us(now_us());
    lock.unlock();
    ::poll(fds.data(), fds.size(), static_cast<int>(wait_us / 1000));
    lock.lock();
    uint64_t count = 0;
    if (fds[0].revents) std::ignore = ::read(wake_.get(), &count, sizeof count);
    if (fds[2].revents) keeper_.read_output();
    for (size_t i = 0; i < starting.size(); ++i) {
      if (fds[3 + i].revents && std::ranges::find(starting_, starting[i]) != starting_.end()) hear_start(starting[i]);
    }
    for (size_t i = 0; i < abandoned.size(); ++i) {
      const bool still = std::ranges::find(abandoned_, abandoned[i]) != abandoned_.end();
      if (fds[3 + starting.size() + i].revents && still) hear_abandoned(abandoned[i]);
    }
    if (fds[1].revents) {
      keeper_.read_output();
      hear_keeper();
    }
  }
  idle_.clear();
  starting_.clear();
  abandoned_.clear();
  more_seats_.clear();
  leaving_.clear();
  keeper_.finish();
}

}  // namespace

base::Result<base::Path> find_interpreter() {
  if (const char* given = std::getenv("LATHE_PYTHON"); given && *given) {
    if (::access(given, X_OK) == 0) return base::Path(given);
    return base::not_found("LATHE_PYTHON names '" + std::string(given) + "', which cannot be run");
  }
  if (const char* venv = std::getenv("VIRTUAL_ENV"); venv && *venv) {
    base::Path python = base::Path(venv) / "bin" / "python";
    if (::access(python.c_str(), X_OK) == 0) return python;
  }
  const char* path = std::getenv("PATH");
  for (const char* name : {"python3", "python"}) {
    std::string_view left = path ? path : "/usr/local/bin:/usr/bin:/bin";
    while (!left.empty()) {
      const std::string_view folder = left.substr(0, left.find(':'));
      left.remove_prefix(std::min(left.size(), folder.size() + 1));
      base::Path python = base::Path(folder) / name;
      if (!folder.empty() && ::access(python.c_str(), X_OK) == 0) return python;
    }
  }
  return base::not_found("no Python was found for a Python model: set LATHE_PYTHON, or put python3 on PATH");
}

base::Result<std::unique_ptr<Workers>> Workers::start(const Options& options, std::string& hello) {
  Options complete = options;
  if (complete.interpreter.empty()) {
    TRY_SET(complete.interpreter, find_interpreter());
  }
  auto workers = std::make_unique<WorkersImpl>(complete);
  TRY(workers->begin(hello));
  return std::unique_ptr<Workers>(std::move(workers));
}

}  // namespace serve::python
