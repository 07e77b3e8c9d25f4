// What both engines do with submitted jobs: a bounded queue, running one with its errors caught, answering many.
// Internal to the store. Thread: JobQueue is safe anywhere.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/store.h"

namespace store::detail {

class JobQueue {
 public:
  JobQueue(size_t limit, std::string_view what) : limit_(limit), what_(what) {}

  // Answers the job at once when the queue is full (kTooMany) or closed (kUnavailable).
  void push(Job* job);
  // Waits for work; up to `most` jobs into `out`. False when the queue was closed and is empty. `waited_us`: how long
  // the first of them has waited.
  bool pop(size_t most, std::vector<Job*>& out, int64_t* waited_us = nullptr);
  void close();
  size_t size();

 private:
  const size_t limit_;
  const std::string_view what_;
  std::mutex mutex_;
  std::condition_variable ready_;
  struct Waiting {
    Job* job;
    int64_t since_us;  // monotonic
  };
  std::deque<Waiting> jobs_;
  bool closed_ = false;
};

// Runs a job's function: an exception that leaves it is an internal error. The function's own error, or the Tx's sticky
// one where a statement failed.
base::Result<void> run_guarded(Job& job, Tx& tx);

// The span of a traced job, from its submission to now, in the trace of whoever asked.
void trace_job(const Job& job, std::string_view what, size_t jobs_in_commit);

// True (and answered by fail()) when the job's deadline has passed or its caller has gone: it is not worth running.
bool gave_up(Job& job, int64_t mono_us);

// Resumes or signals the owners of all jobs, each loop woken once. The jobs are gone afterwards.
void answer(std::vector<Job*>& jobs);
void answer(Job* job);

// Who wants to know that events were committed.
class EventListeners {
 public:
  uint64_t add(std::function<void()> listener);
  void remove(uint64_t key);  // after it returns, the listener is not running
  void call();

 private:
  std::mutex mutex_;
  uint64_t next_key_ = 1;
  std::map<uint64_t, std::function<void()>> listeners_;
};

// Engines.
base::Result<std::unique_ptr<Store>> open_sqlite(const Options& options, std::span<const ModuleMigrations> modules,
                                                 base::Registry* metrics);
base::Result<std::unique_ptr<Store>> open_postgres(const Options& options, std::span<const ModuleMigrations> modules,
                                                   base::Registry* metrics);

}  // namespace store::detail
