#include "plane/follower.h"

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "net/tls.h"

namespace plane {
namespace {

using std::chrono::microseconds;

constexpr int64_t kFirstWaitUs = 200'000;  // before another try, doubled each time
constexpr int64_t kLongestWaitUs = 5'000'000;
constexpr size_t kMaxProblem = 400;       // bytes of it in a report
constexpr int64_t kRetryUs = 10'000'000;  // of endpoints that could not be applied

int64_t longer(int64_t wait_us) { return std::min(wait_us * 2, kLongestWaitUs); }

bool is_refusal(const base::Error& error) {
  return error.code == base::Code::kUnauthenticated || error.code == base::Code::kForbidden;
}

}  // namespace

Follower::Follower(Control& control, Home& home, PlaneSource& source, serve::Runtime& runtime, Doorkeeper& doors,
                   const Shipper& shipper, const base::Clock& clock, Report self, std::vector<base::Path> certificates)
    : control_(control),
      home_(home),
      source_(source),
      runtime_(runtime),
      doors_(doors),
      shipper_(shipper),
      clock_(clock),
      self_(std::move(self)),
      certificates_(std::move(certificates)) {}

Follower::~Follower() {
  for (std::jthread* thread : {&listener_, &worker_}) thread->request_stop();
  for (std::jthread* thread : {&listener_, &worker_}) {
    if (thread->joinable()) thread->join();
  }
}

void Follower::start(bool in_touch) {
  if (const auto applied = source_.applied()) heard_ = applied->position;
  if (in_touch) {
    if (const auto asked = doors_.ask_again(); asked) doors_.in_touch();
  }
  listener_ = std::jthread([this](const std::stop_token& stop) { listen(stop); });
  worker_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

void Follower::rest(const std::stop_token& stop, int64_t us) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, stop, microseconds(us), [] { return false; });
}

// --- listening

void Follower::listen(const std::stop_token& stop) {
  int64_t wait_us = kFirstWaitUs;
  bool told = false;
  while (!stop.stop_requested()) {
    bool caught_up = false;
    core::EventPosition after;
    {
      std::lock_guard lock(mutex_);
      after = heard_;
    }
    const auto listener = [&](const Control::Heard& heard) { hear(heard, caught_up); };
    const auto ended = control_.follow(after, listener, stop);
    if (stop.stop_requested()) return;
    if (caught_up) wait_us = kFirstWaitUs, told = false;
    if (!ended && ended.error().code == base::Code::kConflict) {
      base::log::info("events are missing; a new snapshot is taken", {{"why", ended.error().message}});
      close_gap();
    } else if (!ended && is_refusal(ended.error())) {
      doors_.refused();
    }
    if (!ended && !told) base::log::warn("out of touch with the control plane", {{"why", ended.error().message}});
    told = true;
    rest(stop, wait_us);
    wait_us = longer(wait_us);
  }
}

// A heartbeat comes when all events before it have come.
void Follower::hear(const Control::Heard& heard, bool& caught_up) {
  {
    std::lock_guard lock(mutex_);
    heard_ = heard.position;
  }
  if (heard.kind == "principal.revoked") {
    if (const auto asked = doors_.suspect(heard.subject); !asked)
      base::log::warn("changed rights could not be asked about", {{"why", asked.error().message}});
  } else if (heard.kind.starts_with("endpoint.")) {
    want();
  } else if (heard.kind.empty()) {
    if (!caught_up) base::log::info("in touch with the control plane");
    if ((caught_up && !doors_.is_due()) || doors_.ask_again()) {
      caught_up = true;
      doors_.in_touch();
    }
  }
}

void Follower::close_gap() {
  const auto snapshot = control_.snapshot();
  if (!snapshot) return;  // the next try ends in the same gap
  {
    std::lock_guard lock(mutex_);
    heard_ = snapshot->position;
  }
  want();
}

void Follower::want() {
  {
    std::lock_guard lock(mutex_);
    wanted_ = true;
  }
  wake_.notify_all();
}

// --- working

void Follower::work(const std::stop_token& stop) {
  int64_t wait_us = kFirstWaitUs;
  int64_t retry_us = problems_.empty() ? INT64_MAX : clock_.mono_us() + kRetryUs;
  report();
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, microseconds(kReportUs), [&] { return wanted_; });
      if (stop.stop_requested()) return;
      if (clock_.mono_us() >= retry_us) wanted_ = true;
      if (wanted_) {
        wanted_ = false;
        lock.unlock();
        if (renew()) {
          wait_us = kFirstWaitUs;
        } else {
          want();  // still
          rest(stop, wait_us);
          wait_us = longer(wait_us);
          continue;
        }
        retry_us = problems_.empty() ? INT64_MAX : clock_.mono_us() + kRetryUs;
      }
    }
    report();
  }
}

bool Follower::renew() {
  const auto snapshot = control_.snapshot();
  if (!snapshot) {
    base::log::warn("the control plane's snapshot cannot be had", {{"why", snapshot.error().message}});
    return false;
  }
  apply(*snapshot);
  return true;
}

void Follower::apply(const Snapshot& wanted) {
  const auto before = source_.applied();
  auto next = std::make_shared<Snapshot>(wanted);
  source_.offer(std::make_shared<const Snapshot>(wanted));
  std::map<std::string, std::string> problems;
  for (serve::Deployment& deployment : next->deployments) {
    const std::string name = deployment.endpoint.name;
    for (const serve::Revision& other : deployment.others) {
      const auto loaded = runtime_.prepare(deployment.project, name, other.number, serve::Runtime::Code::kMayRun);
      if (!loaded) problems[name] = "revision " + std::to_string(other.number) + ": " + loaded.error().message;
    }
    const auto loaded =
        runtime_.prepare(deployment.project, name, deployment.live.number, serve::Runtime::Code::kMayRun);
    if (loaded) continue;
    problems[name] = "revision " + std::to_string(deployment.live.number) + ": " + loaded.error().message;
    base::log::error("a revision cannot be served", {{"endpoint", name}, {"why", problems[name]}});
    const serve::Deployment* old = before ? before->find(name) : nullptr;
    if (!old || before->project != wanted.project) continue;
    deployment = *old;  // as it was, and so said in the report
    for (const auto& [root, files] : before->files) next->files.emplace(root, files);
    next->position = before->position;  // a restart finds the same events again, and tries again
  }
  doors_.serves(next->project, next->project_name, next->require_login);
  source_.apply(next);
  if (const auto swapped = runtime_.refresh(); !swapped)
    base::log::error("routes were not swapped", {{"why", swapped.error().message}});
  if (const auto saved = home_.save(*next); !saved)
    base::log::error("what is served could not be written down", {{"why", saved.error().message}});
  problems_ = std::move(problems);
}

void Follower::report() {
  Report out = self_;
  const auto applied = source_.applied();
  if (!applied) return;
  {
    std::lock_guard lock(mutex_);
    out.position = wanted_ ? applied->position : std::max(heard_, applied->position);
  }
  for (const serve::Deployment& deployment : applied->deployments) {
    const auto problem = problems_.find(deployment.endpoint.name);
    std::string why = problem == problems_.end() ? "" : problem->second;
    if (const auto live = runtime_.route(deployment.project, deployment.endpoint.name); why.empty() && live)
      why = live->trouble();
    why.resize(std::min(why.size(), kMaxProblem));
    out.endpoints.push_back({.name = deployment.endpoint.name,
                             .revision = deployment.live.number,
                             .generation = deployment.endpoint.generation,
                             .problem = std::move(why)});
  }
  out.writer = home_.writer();
  out.captures_sent = shipper_.sent();
  out.captures_lost = shipper_.lost();
  if (const int64_t since_us = shipper_.waiting_since_us()) out.captures_waiting_since_us = since_us;
  for (const base::Path& file : certificates_) {  // read each time: they are renewed in place
    if (const auto end_us = net::certificate_end_us(file))
      out.certificate_ends_us = std::min(out.certificate_ends_us.value_or(*end_us), *end_us);
  }
  if (const auto reported = control_.report(home_.id(), out); !reported)
    base::log::debug("not reported", {{"why", reported.error().message}});
}

}  // namespace plane
