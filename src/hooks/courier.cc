#include "hooks/courier.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "base/json_writer.h"
#include "base/log.h"
#include "hooks/deliveries.h"

namespace hooks {
namespace {

constexpr int64_t kReadPerHook = 16;    // due deliveries of one hook held in memory
constexpr int64_t kReadMost = 1024;     // of all hooks
constexpr int64_t kLookUs = 5'000'000;  // correctness never depends on a wake-up
constexpr int64_t kSoonUs = 250'000;    // a delivery was queued in a transaction that is about to be committed
constexpr int64_t kTrimUs = 600'000'000;
constexpr int64_t kStoreRestUs = 1'000'000;  // after the store has refused
constexpr int64_t kFirstBackoffUs = 1'000'000;

bool is_worth_a_retry(int status) {
  return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

int64_t backoff_us(int64_t attempts_before, base::Random& random) {
  const int64_t doubled = kFirstBackoffUs << std::min<int64_t>(attempts_before, 20);
  const auto jitter = static_cast<int64_t>(random.next_unit() * 1'000'000);
  return std::min(doubled, kLongestBackoffUs) + jitter;
}

}  // namespace

std::string envelope(std::string_view event, std::string_view data, int64_t at_us) {
  const size_t dot = event.find('.');
  std::string when = base::format_iso8601(at_us);
  if (when.ends_with('Z')) when.replace(when.size() - 1, 1, "+00:00");  // as Python writes it
  std::string out;
  base::JsonWriter json(out);
  json.begin_object().field("entity", event.substr(0, dot)).field("action", event.substr(dot + 1));
  json.field("timestamp", when).key("data").raw(data).end_object();
  return out;
}

struct Courier::Impl {
  Impl(store::Store& s, const base::Clock& c, base::Registry& metrics, Policy p, Sealer k, Post send, Translator t)
      : store(s),
        clock(c),
        policy(std::move(p)),
        sealer(k),
        post(std::move(send)),
        translator(std::move(t)),
        delivered(counter(metrics, "delivered")),
        retried(counter(metrics, "retried")),
        dead(counter(metrics, "dead")) {
    listener = store.add_event_listener([this] { after_commit(); });
    dispatcher = std::thread([this] { dispatch(); });
    consumer = std::make_unique<core::Consumer>(
        store, clock, std::string(kConsumer),
        [this](store::Tx& tx, const core::Event& event) { return on_event(tx, event); }, /*from_start=*/false,
        translator.concerns);
  }

  ~Impl() { stop(); }

  void stop() {
    if (!dispatcher.joinable()) return;
    consumer.reset();
    store.remove_event_listener(listener);
    cancel.request_stop();
    {
      const std::lock_guard lock(mutex);
      stopping = true;
      changed.notify_all();
    }
    dispatcher.join();
    for (std::thread& worker : workers) worker.join();
  }

  static base::Counter& counter(base::Registry& metrics, std::string outcome) {
    return metrics.counter("lathe_webhook_attempts_total", "Attempts to deliver a webhook, by what became of them",
                           {{"outcome", std::move(outcome)}});
  }

  base::Context context(int64_t project) const {
    auto ctx = base::Context::system(clock, "system:webhooks");
    ctx.project = project;
    return ctx;
  }

  // --- events become deliveries -------------------------------------------------------------------------------------

  base::Result<void> on_event(store::Tx& tx, const core::Event& event) {
    TRY_SET(const auto notice, translator.notice(tx, event));
    if (!notice) return {};
    TRY_SET(const int64_t queued,
            queue_deliveries(tx, notice->event, envelope(notice->event, notice->data, event.at_us)));
    if (queued == 0) return {};
    const std::lock_guard lock(mutex);
    about_to_commit = true;
    look_again_us = clock.mono_us() + kSoonUs;  // should another commit's wake-up come before this one's
    changed.notify_all();
    return {};
  }

  void after_commit() {  // of anybody's event: cheap
    const std::lock_guard lock(mutex);
    if (!about_to_commit) return;
    about_to_commit = false;
    look_now = true;
    changed.notify_all();
  }

  void look() {
    const std::lock_guard lock(mutex);
    look_now = true;
    changed.notify_all();
  }

  // --- the dispatcher -----------------------------------------------------------------------------------------------

  struct Found {
    std::vector<Due> due;
    std::optional<int64_t> next_us;
  };

  base::Result<Found> read_due() {
    return store.read_blocking(context(base::kDefaultProject), [](store::Tx& tx) -> base::Result<Found> {
      Found found{due_deliveries(tx, kReadPerHook, kReadMost), next_due_us(tx)};
      TRY(tx.status());
      return found;
    });
  }

  void trim() {
    for (;;) {
      const auto gone = store.write_blocking(context(base::kDefaultProject), trim_deliveries);
      if (!gone) return base::log::warn("webhook deliveries were not trimmed", {{"why", gone.error().message}});
      if (*gone == 0 || cancel.stop_requested()) return;
    }
  }

  void dispatch() {
    int64_t trim_at_us = clock.mono_us() + kTrimUs / 10;
    for (;;) {
      const auto found = read_due();
      int64_t rest_us = kLookUs;
      if (!found) {
        base::log::warn("webhook deliveries cannot be read", {{"why", found.error().message}});
        rest_us = kStoreRestUs;
      } else {
        if (found->next_us) rest_us = std::clamp<int64_t>(*found->next_us - clock.wall_us(), 1'000, kLookUs);
        take(found->due);
      }
      if (clock.mono_us() >= trim_at_us) {
        trim();
        trim_at_us = clock.mono_us() + kTrimUs;
      }
      if (!wait(rest_us)) return;
    }
  }

  void take(const std::vector<Due>& due) {
    const std::lock_guard lock(mutex);
    for (const Due& one : due) {
      if (known.insert(one.id).second) ready.push_back(one);
    }
    const size_t wanted = std::min(kWorkers, ready.size() + running);
    while (!stopping && workers.size() < wanted) workers.emplace_back([this] { work(); });
    changed.notify_all();
  }

  bool wait(int64_t rest_us) {
    std::unique_lock lock(mutex);
    const int64_t until_us = clock.mono_us() + rest_us;
    while (!stopping && !look_now) {
      const int64_t now_us = clock.mono_us();
      int64_t at_us = until_us;
      if (look_again_us != 0) at_us = std::min(at_us, look_again_us);
      if (now_us >= at_us) break;
      changed.wait_for(lock, std::chrono::microseconds(at_us - now_us));
    }
    look_now = false;
    if (look_again_us != 0 && clock.mono_us() >= look_again_us) look_again_us = 0;
    return !stopping;
  }

  // --- the workers --------------------------------------------------------------------------------------------------

  // The first that is ready and whose hook has room. Under the lock.
  std::optional<Due> pick() {
    for (auto at = ready.begin(); at != ready.end(); ++at) {
      size_t& posts = posts_of[at->hook];
      if (posts >= kPostsPerHook) continue;
      ++posts;
      ++running;
      Due due = std::move(*at);
      ready.erase(at);
      return due;
    }
    return std::nullopt;
  }

  void done(const Due& due) {
    const std::lock_guard lock(mutex);
    known.erase(due.id);
    --running;
    if (--posts_of[due.hook] == 0) posts_of.erase(due.hook);
    const auto same_hook = [&due](const Due& other) { return other.hook == due.hook; };
    if (std::ranges::none_of(ready, same_hook)) look_now = true;  // more of it may be waiting
    changed.notify_all();
  }

  void work() {
    for (;;) {
      std::optional<Due> due;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return stopping || (due = pick()).has_value(); });
        if (stopping) return;
      }
      if (const auto tried = attempt(*due); !tried) {
        base::log::warn("a webhook delivery could not be noted",
                        {{"delivery", due->id}, {"why", tried.error().message}});
        std::unique_lock lock(mutex);
        changed.wait_for(lock, std::chrono::microseconds(kStoreRestUs), [this] { return stopping; });
      }
      done(*due);
    }
  }

  base::Result<void> attempt(const Due& due) {
    TRY_SET(const auto found,
            store.read_blocking(context(due.project), [&due](store::Tx& tx) { return begin_attempt(tx, due.id); }));
    if (!found) return {};
    const Outcome outcome = try_once(*found);
    if (cancel.stop_requested() && outcome.state != DeliveryState::kDelivered) return {};  // our end, not its failure
    TRY(store.write_blocking(context(due.project), [&](store::Tx& tx) { return finish_attempt(tx, due.id, outcome); }));
    (outcome.state == DeliveryState::kDelivered ? delivered
     : outcome.state == DeliveryState::kDead    ? dead
                                                : retried)
        .add();
    return {};
  }

  Outcome try_once(const Attempt& attempt) {
    const auto give_up = [](std::string why, int status = 0) {
      return Outcome{DeliveryState::kDead, 0, status, std::move(why)};
    };
    if (!attempt.active) return give_up("the webhook is disabled");
    const auto answer =
        send(attempt.url, attempt.sealed_secret, attempt.delivery.hook, attempt.delivery.id, attempt.delivery.body);
    if (answer && answer->status < 300) return {DeliveryState::kDelivered, 0, answer->status, ""};
    const std::string why =
        answer ? "HTTP " + std::to_string(answer->status) + ": " + answer->body : answer.error().message;
    const int status = answer ? answer->status : 0;
    if (answer && status < 400)
      return give_up("HTTP " + std::to_string(status) + ": redirects are not followed", status);
    const bool again = answer ? is_worth_a_retry(status)
                              : answer.error().code == base::Code::kUnavailable ||
                                    answer.error().code == base::Code::kDeadline ||
                                    answer.error().code == base::Code::kCancelled;
    if (!again || attempt.delivery.attempts >= policy.max_retries) return give_up(why, status);
    int64_t rest_us = backoff_us(attempt.delivery.attempts, base::system_random());
    if (answer && answer->retry_after_us)
      rest_us = std::max(rest_us, std::min(*answer->retry_after_us, kLongestRetryAfterUs));
    return {DeliveryState::kWaiting, clock.wall_us() + rest_us, status, why};
  }

  base::Result<Answer> send(const std::string& url, std::string_view sealed_secret, std::string_view hook,
                            const std::string& id, const std::string& body) {
    TRY(check_url(url, policy.schemes));
    TRY_SET(const std::string secret, sealer.open(sealed_secret, hook));
    const std::string now_s = std::to_string(clock.wall_us() / 1'000'000);
    Parcel parcel{.url = url,
                  .headers = {{"Content-Type", "application/json"},
                              {"User-Agent", "Lathe"},
                              {"X-MLflow-Delivery-Id", id},
                              {"X-MLflow-Timestamp", now_s}},
                  .body = body,
                  .timeout_us = policy.timeout_us,
                  .public_only = !policy.allow_private,
                  .cancelled = cancel.get_token()};
    if (!secret.empty()) parcel.headers.emplace_back("X-MLflow-Signature", sign(secret, id, now_s, body));
    return post(parcel);
  }

  store::Store& store;
  const base::Clock& clock;
  const Policy policy;
  const Sealer sealer;
  const Post post;
  const Translator translator;
  base::Counter& delivered;
  base::Counter& retried;
  base::Counter& dead;
  std::stop_source cancel;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Due> ready;
  std::set<std::string> known;  // ready or being posted
  std::map<std::string, size_t> posts_of;
  size_t running = 0;
  bool look_now = false;
  bool about_to_commit = false;
  int64_t look_again_us = 0;  // monotonic; 0: no
  bool stopping = false;
  std::vector<std::thread> workers;  // grown by the dispatcher only
  uint64_t listener = 0;
  std::thread dispatcher;
  std::unique_ptr<core::Consumer> consumer;
};

Courier::Courier(store::Store& store, const base::Clock& clock, base::Registry& metrics, Policy policy, Sealer sealer,
                 Post post, Translator translator)
    : impl_(std::make_unique<Impl>(store, clock, metrics, std::move(policy), sealer, std::move(post),
                                   std::move(translator))) {}
Courier::~Courier() = default;

const Policy& Courier::policy() const { return impl_->policy; }
const Sealer& Courier::sealer() const { return impl_->sealer; }
void Courier::stop() { impl_->stop(); }
void Courier::look() { impl_->look(); }

base::Result<Answer> Courier::test(const Hook& hook, std::string_view event, std::string_view data) {
  return impl_->send(hook.url, hook.sealed_secret, hook.id, make_uuid4(base::system_random()),
                     envelope(event, data, impl_->clock.wall_us()));
}

}  // namespace hooks
