#include "store/jobs.h"

#include <exception>
#include <utility>

#include "base/clock.h"

namespace store::detail {

void JobQueue::push(Job* job) {
  if (job->ctx.trace) job->submitted_us = base::system_clock().wall_us();
  base::Error refusal;
  {
    std::unique_lock lock(mutex_);
    if (!closed_ && jobs_.size() < limit_) {
      jobs_.push_back({job, base::system_clock().mono_us()});
      lock.unlock();  // whoever is woken wants it
      ready_.notify_one();
      return;
    }
    refusal = closed_ ? base::Error{base::Code::kUnavailable, "the server is shutting down"}
                      : base::Error{base::Code::kTooMany, "too many " + std::string(what_) + " are waiting; try again"};
  }
  job->fail(std::move(refusal));
  answer(job);
}

bool JobQueue::pop(size_t most, std::vector<Job*>& out, int64_t* waited_us) {
  std::unique_lock lock(mutex_);
  ready_.wait(lock, [&] { return closed_ || !jobs_.empty(); });
  if (jobs_.empty()) return false;
  const auto end = jobs_.begin() + static_cast<ptrdiff_t>(std::min(most, jobs_.size()));
  if (waited_us) *waited_us = base::system_clock().mono_us() - jobs_.front().since_us;
  out.clear();
  for (auto it = jobs_.begin(); it != end; ++it) out.push_back(it->job);
  jobs_.erase(jobs_.begin(), end);
  return true;
}

void JobQueue::close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  ready_.notify_all();
}

size_t JobQueue::size() {
  std::lock_guard lock(mutex_);
  return jobs_.size();
}

base::Result<void> run_guarded(Job& job, Tx& tx) {
  base::Result<void> result;
  try {
    result = job.run(tx);
  } catch (const std::exception& e) {
    result = base::internal(std::string("a database function threw: ") + e.what());
    job.fail(result.error());
  }
  if (!tx.failed()) return result;
  job.fail(tx.status().error());
  return tx.status();
}

void trace_job(const Job& job, std::string_view what, size_t jobs_in_commit) {
  const base::TraceContext& trace = job.ctx.trace;
  if (!trace) return;
  base::SpanData span;
  span.name = what;
  span.trace = trace.trace;
  span.parent = trace.span;
  span.span = base::new_span_id();
  span.end_us = base::system_clock().wall_us();
  span.start_us = job.submitted_us > 0 ? job.submitted_us : span.end_us;
  if (jobs_in_commit > 0) span.attributes = {{"lathe.store.group_jobs", static_cast<int64_t>(jobs_in_commit)}};
  trace.tracer->record(std::move(span));
}

bool gave_up(Job& job, int64_t mono_us) {
  if (job.ctx.cancelled.stop_requested()) {
    job.fail({base::Code::kCancelled, "the caller went away"});
    return true;
  }
  if (job.ctx.deadline_mono_us != 0 && mono_us > job.ctx.deadline_mono_us) {
    job.fail({base::Code::kDeadline, "the time given ran out before the database was free"});
    return true;
  }
  return false;
}

void answer(Job* job) {
  if (job->loop == nullptr) return job->done();
  job->loop->resume({job->handle});
}

void answer(std::vector<Job*>& jobs) {
  if (jobs.size() == 1) return answer(jobs[0]);
  std::vector<std::pair<base::Loop*, std::vector<std::coroutine_handle<>>>> loops;  // a handful: found by walking
  for (Job* job : jobs) {
    if (job->loop == nullptr) {
      job->done();
      continue;
    }
    auto at = loops.begin();
    while (at != loops.end() && at->first != job->loop) ++at;
    if (at == loops.end()) at = loops.insert(loops.end(), {job->loop, {}});
    at->second.push_back(job->handle);
  }
  for (auto& [loop, handles] : loops) loop->resume(std::move(handles));
}

uint64_t EventListeners::add(std::function<void()> listener) {
  std::lock_guard lock(mutex_);
  listeners_.emplace(next_key_, std::move(listener));
  return next_key_++;
}

void EventListeners::remove(uint64_t key) {
  std::lock_guard lock(mutex_);
  listeners_.erase(key);
}

void EventListeners::call() {
  std::lock_guard lock(mutex_);
  for (const auto& [key, listener] : listeners_) listener();
}

}  // namespace store::detail
