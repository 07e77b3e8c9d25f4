// Courier: makes deliveries out of events, and posts them. A consumer of the events log queues rows (deliveries.h); a
// dispatcher looks for those that are due; a few workers, started when there is something to do, post them. No request
// of a client ever waits for a receiver, and one slow receiver holds at most kPostsPerHook of the workers.
//
// What is tried again: no answer, and 429, 500, 502, 503, 504, after 1, 2, 4, … s with jitter, or when Retry-After
// says. Any other answer from 300 on, an address that is not public, and the last failure make a dead letter.
//
// Thread: safe anywhere. The destructor ends what is under way; it is sent again by the next server.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "core/event.h"
#include "hooks/hooks.h"
#include "hooks/secret.h"
#include "store/store.h"

namespace hooks {

inline constexpr std::string_view kConsumer = "webhooks";  // of core::Consumer
inline constexpr size_t kWorkers = 8;
inline constexpr size_t kPostsPerHook = 2;
inline constexpr size_t kAnswerBytes = size_t{64} << 10;        // of an answer's body that is read
inline constexpr int64_t kLongestBackoffUs = 600'000'000;       // between two attempts
inline constexpr int64_t kLongestRetryAfterUs = 3'600'000'000;  // that a receiver may ask for

struct Policy {  // MLFLOW_WEBHOOK_…
  std::vector<std::string> schemes = {"https"};
  bool allow_private = false;
  int64_t timeout_us = 30'000'000;
  int64_t max_retries = 8;
};

struct Parcel {
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  int64_t timeout_us = 0;
  bool public_only = true;  // connect to public addresses only (public_address.h): kForbidden else
  std::stop_token cancelled;
};
struct Answer {
  int status = 0;
  std::string body;  // its first kAnswerBytes
  std::optional<int64_t> retry_after_us;
};
// Fails when there is no answer. Redirects are answers like others, and no proxy is used.
using Post = std::function<base::Result<Answer>(const Parcel&)>;

// An event as its receivers know it. `data` is JSON.
struct Notice {
  std::string event;  // "entity.action"
  std::string data;
};
struct Translator {
  std::function<bool(const core::Event&)> concerns;  // whether it may become a notice; without the store
  std::function<base::Result<std::optional<Notice>>(store::Tx&, const core::Event&)> notice;
};

class Courier {
 public:
  Courier(store::Store& store, const base::Clock& clock, base::Registry& metrics, Policy policy, Sealer sealer,
          Post post, Translator translator);
  ~Courier();
  Courier(const Courier&) = delete;

  const Policy& policy() const;
  const Sealer& sealer() const;
  void look();  // a delivery was queued by somebody else
  void stop();  // ends what is under way, test() too, and joins; nothing is delivered any more

  // One attempt with `data`, now and on this thread, which waits for the receiver. Nothing is stored.
  base::Result<Answer> test(const Hook& hook, std::string_view event, std::string_view data);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// {"entity", "action", "timestamp", "data"}.
std::string envelope(std::string_view event, std::string_view data, int64_t at_us);

}  // namespace hooks
