#include "gate/gatekeeper.h"

#include <algorithm>
#include <chrono>

#include "base/hash.h"
#include "base/log.h"
#include "core/session.h"
#include "core/users.h"

namespace gate {
namespace {

constexpr int64_t kUsesUs = 10'000'000;     // between two rounds that write down last uses
constexpr int64_t kTidyUs = 3'600'000'000;  // between two that drop what has ended
constexpr size_t kMaxSecret = 512;          // of a token or session; ours are shorter

std::string_view user_name(const core::Identity& identity) {
  const std::string_view name = identity.actor.name;
  return name.substr(name.find(':') + 1);
}

// A remembered password that is too old asks for the password again at the next request; what runs goes on.
bool is_over(const Admission& admission, int64_t now_us) {
  return admission.via != Via::kPassword && now_us >= admission.until_us.load(std::memory_order_relaxed);
}

// Whether two look-ups of one claim say the same.
bool same(const Admission& a, const Admission& b) {
  return a.identity.actor.name == b.identity.actor.name && a.identity.user == b.identity.user &&
         a.identity.project == b.identity.project && a.identity.role == b.identity.role &&
         a.project_known == b.project_known && a.limited == b.limited && a.permissions == b.permissions &&
         a.rules_server == b.rules_server && (!a.project_known || a.project == b.project);
}

// Whether rights by experiment and model became fewer anywhere. What was not named before counts as what all others
// are.
bool lost_any(const Admission& old, const Admission& fresh) {
  const auto a = old.resources.load(), b = fresh.resources.load();
  if (!a || !b) return a != b;
  if (b->experiments < a->experiments || b->models < a->models || b->most < a->most || (a->creates && !b->creates))
    return true;
  const auto fewer_of_experiment = [&](const auto& row) {
    return b->of_experiment(row.first) < a->of_experiment(row.first);
  };
  const auto fewer_of_model = [&](const auto& row) { return b->of_model(row.first) < a->of_model(row.first); };
  return std::ranges::any_of(a->experiment, fewer_of_experiment) ||
         std::ranges::any_of(b->experiment, fewer_of_experiment) || std::ranges::any_of(a->model, fewer_of_model) ||
         std::ranges::any_of(b->model, fewer_of_model);
}

}  // namespace

Gatekeeper::Gatekeeper(store::Store& store, const base::Clock& clock, net::AccessPolicy policy)
    : store_(store), clock_(clock), passwords_(store, clock) {
  policy_ = std::move(policy);
  trusted_until_us_ = clock_.mono_us() + kTrustUs;
}

base::Result<std::unique_ptr<Gatekeeper>> Gatekeeper::start(store::Store& store, const base::Clock& clock,
                                                            net::AccessPolicy policy) {
  auto ask = [](store::Tx& tx) -> base::Result<bool> {
    const bool any = core::has_users(tx);
    TRY(tx.status());
    return any;
  };
  TRY_SET(const bool any, store.read_blocking(base::Context::system(clock), ask));
  std::unique_ptr<Gatekeeper> gate(new Gatekeeper(store, clock, std::move(policy)));
  gate->has_users_ = any;
  gate->watcher_ = std::jthread([g = gate.get()](const std::stop_token& stop) { g->watch(stop); });
  return gate;
}

Gatekeeper::~Gatekeeper() {
  watcher_.request_stop();
  if (watcher_.joinable()) watcher_.join();
}

// --- on the loops

net::Fingerprint Gatekeeper::fingerprint(const net::Presented& presented) const {
  if (presented.kind == net::Presented::Kind::kNothing && presented.project.empty()) return {};  // the usual local one
  return digest_.of(presented.secret, presented.project, static_cast<uint8_t>(presented.kind) + 1);
}

bool Gatekeeper::is_current(const net::Grant& grant) const {
  const auto& admission = static_cast<const Admission&>(grant);
  if (admission.revoked.load(std::memory_order_acquire)) return false;
  const int64_t now_us = clock_.mono_us();
  if (now_us >= trusted_until_us_.load(std::memory_order_acquire)) return false;
  if (now_us >= admission.until_us.load(std::memory_order_relaxed)) return false;
  if (admission.actor.kind == base::ActorKind::kAttempt &&
      admission.checked.load(std::memory_order_relaxed) != changes_.load(std::memory_order_acquire))
    return false;
  if (now_us - admission.used_us.load(std::memory_order_relaxed) > 1'000'000)
    admission.used_us.store(now_us, std::memory_order_relaxed);
  return true;
}

void Gatekeeper::access_may_have_changed() {
  changes_.fetch_add(1, std::memory_order_acq_rel);
  if (listening_.exchange(false)) wake_.notify_one();  // once, however many commits come by
}

Gatekeeper::AdmissionPtr Gatekeeper::recall(const net::Fingerprint& print) const {
  std::lock_guard guard(mutex_);
  const auto found = kept_.find({print.a, print.b});
  return found != kept_.end() && is_current(*found->second) ? found->second : nullptr;
}

// What is kept under this key already goes on, if it is right: connections hold it. Else it is revoked, now.
Gatekeeper::AdmissionPtr Gatekeeper::keep(const net::Fingerprint& print, AdmissionPtr admission) {
  std::lock_guard guard(mutex_);
  if (kept_.size() >= kRemembered)
    std::erase_if(kept_, [](const auto& entry) { return entry.second.use_count() == 1; });
  auto& slot = kept_[{print.a, print.b}];
  if (slot && !slot->revoked) {
    if (slot->stamp == admission->stamp && same(*slot, *admission) && !lost_any(*slot, *admission)) {
      slot->resources = admission->resources.load();
      slot->checked.store(admission->checked, std::memory_order_relaxed);
      slot->until_us.store(admission->until_us, std::memory_order_relaxed);
      slot->used_us.store(admission->used_us, std::memory_order_relaxed);
      return slot;
    }
    slot->revoked.store(true, std::memory_order_release);
  }
  slot = std::move(admission);
  return slot;
}

// Reads who it is and how far that reaches, and fills in the rest of the grant. False: nobody, any more.
base::Result<bool> Gatekeeper::look_up(store::Tx& tx, Admission& admission) const {
  core::Identity identity = admission.identity;
  if (admission.via == Via::kToken || admission.via == Via::kSession) {
    TRY_SET(const auto found, admission.via == Via::kToken ? core::find_token_by_hash(tx, admission.hash)
                                                           : core::find_session(tx, admission.hash));
    if (!found) return false;
    identity = *found;
  } else if (admission.via == Via::kPassword) {
    const auto user = core::find_user(tx, user_name(identity));
    TRY(tx.status());
    if (!user || user->id != identity.user || user->stamp != admission.stamp) return false;
  }
  TRY_SET(const auto reach, core::reach_of(tx, identity, admission.asked));
  if (!reach) return false;
  admission.identity = std::move(identity);
  admission.actor = admission.identity.actor;
  admission.project = reach->project;
  admission.project_name = reach->project_name;
  admission.project_known = reach->known;
  admission.permissions = reach->permissions;
  admission.rules_server = reach->server;
  admission.limited = reach->resources != nullptr;
  admission.resources = reach->resources;
  if (admission.identity.expires_us != 0)
    admission.until_us = clock_.mono_us() + std::max<int64_t>(admission.identity.expires_us - tx.now_us(), 0);
  return true;
}

base::Task<base::Result<bool>> Gatekeeper::fill(Admission& admission) {
  admission.checked =
      changes_.load(std::memory_order_acquire);  // before the read: a change meanwhile is looked at again
  auto look = [this, &admission](store::Tx& tx) { return look_up(tx, admission); };
  co_return co_await store_.read_point(base::Context::system(clock_), look);
}

base::Error Gatekeeper::stranger(const net::Request& request) const {
  if (has_users() || request.peer.is_proxy || policy_.require_login || !request.peer.loopback) {
    return {base::Code::kUnauthenticated,
            "log in: this server wants a token (Authorization: Bearer …), a user and password, or a session"};
  }
  return {
      base::Code::kForbidden,
      "this server serves its own user, and this connection comes from another user's process; send a bearer token, "
      "or connect as the server's user"};
}

base::Task<base::Result<Gatekeeper::AdmissionPtr>> Gatekeeper::by_password(const net::Presented& presented) {
  const auto text = base::base64_decode(presented.secret);
  const size_t colon = text ? text->find(':') : std::string::npos;
  if (colon == std::string::npos) {
    co_return base::fail(base::Code::kUnauthenticated,
                         "the Authorization header is not 'Basic' and the base64 of user:password");
  }
  auto checked =
      co_await passwords_.check(text->substr(0, colon), text->substr(colon + 1), std::string(presented.address));
  if (!checked) co_return std::unexpected(std::move(checked).error());
  auto admission = std::make_shared<Admission>();
  admission->via = Via::kPassword;
  admission->identity.user = checked->user.id;
  admission->identity.actor = {checked->user.kind, checked->user.actor(), ""};
  admission->stamp = checked->user.stamp;
  admission->until_us = checked->until_us;
  co_return admission;
}

// Who it claims to be; not looked up yet.
base::Task<base::Result<Gatekeeper::AdmissionPtr>> Gatekeeper::identify(const net::Request& request,
                                                                        const net::Presented& presented) {
  using Kind = net::Presented::Kind;
  if (presented.kind == Kind::kBasic) co_return co_await by_password(presented);
  auto admission = std::make_shared<Admission>();
  if (presented.kind == Kind::kBearer || presented.kind == Kind::kSession) {
    if (presented.secret.empty() || presented.secret.size() > kMaxSecret) co_return AdmissionPtr();
    admission->via = presented.kind == Kind::kBearer ? Via::kToken : Via::kSession;
    admission->hash = core::hash_of_secret(presented.secret);
    co_return admission;
  }
  if (!request.peer.same_user || request.peer.is_proxy || policy_.require_login) co_return AdmissionPtr();
  admission->identity.actor = {base::ActorKind::kLocal, "local", ""};
  co_return admission;
}

base::Task<base::Result<std::shared_ptr<const net::Grant>>> Gatekeeper::admit(const net::Request& request,
                                                                              const net::Presented& presented) {
  using Kind = net::Presented::Kind;
  // The kernel's word is about one connection and is not shared; the grant that follows from it is.
  const bool by_secret = presented.kind != Kind::kNothing;
  const net::Fingerprint print = fingerprint(presented);
  if (by_secret || (request.peer.same_user && !request.peer.is_proxy && !policy_.require_login)) {
    if (auto known = recall(print)) co_return known;
  }
  auto admission = co_await identify(request, presented);
  if (!admission) co_return std::unexpected(std::move(admission).error());
  if (!*admission) co_return std::unexpected(stranger(request));
  (*admission)->asked = presented.project;
  (*admission)->used_us = clock_.mono_us();
  const auto found = co_await fill(**admission);
  if (!found) co_return std::unexpected(found.error());
  if (*found) {
    co_return keep(print, std::move(*admission));
  }
  if (presented.kind == Kind::kSession) {  // an old cookie, or another server's of this host: as if there were none
    net::Presented without = presented;
    without.kind = Kind::kNothing;
    without.secret = {};
    co_return co_await admit(request, without);
  }
  co_return base::fail(base::Code::kUnauthenticated,
                       presented.kind == Kind::kBasic
                           ? "the user name or the password is wrong"
                           : "this bearer token is unknown, has expired or was revoked (a stage's token ends with its "
                             "attempt)");
}

void Gatekeeper::revoke_if(const std::function<bool(const Admission&)>& condition) {
  std::lock_guard guard(mutex_);
  std::erase_if(kept_, [&](const auto& entry) {
    if (!condition(*entry.second)) return false;
    entry.second->revoked.store(true, std::memory_order_release);
    return true;
  });
}

void Gatekeeper::revoke_user(int64_t user) {
  revoke_if([user](const Admission& a) { return a.identity.user == user; });
}

void Gatekeeper::revoke_secret(std::string_view hash) {
  revoke_if([hash](const Admission& a) { return !a.hash.empty() && a.hash == hash; });
}

// --- the watcher

std::vector<std::pair<Gatekeeper::Key, Gatekeeper::AdmissionPtr>> Gatekeeper::everybody() const {
  std::lock_guard guard(mutex_);
  return {kept_.begin(), kept_.end()};
}

// Answers false if the store did not answer.
bool Gatekeeper::look_again(const std::vector<std::pair<Key, AdmissionPtr>>& all, uint64_t changes) {
  const int64_t now_us = clock_.mono_us();
  std::vector<const AdmissionPtr*> due;
  for (const auto& [key, admission] : all) {
    if (!admission->revoked &&
        (is_over(*admission, now_us) || admission->checked.load(std::memory_order_relaxed) < changes))
      due.push_back(&admission);
  }
  std::vector<const AdmissionPtr*> lost;
  bool any_user = false;
  auto look = [&](store::Tx& tx) -> base::Result<void> {
    lost.clear();
    any_user = core::has_users(tx);
    for (const AdmissionPtr* each : due) {
      Admission& admission = **each;
      Admission fresh;
      fresh.via = admission.via;
      fresh.identity = admission.identity;
      fresh.hash = admission.hash;
      fresh.asked = admission.asked;
      fresh.stamp = admission.stamp;
      TRY_SET(const bool found, look_up(tx, fresh));
      if (!found || !same(admission, fresh) || lost_any(admission, fresh)) {
        lost.push_back(each);
        continue;
      }
      if (const auto now = fresh.resources.load(); admission.limited && *now != *admission.resources.load())
        admission.resources = now;
      if (admission.via != Via::kPassword) {
        admission.until_us.store(fresh.until_us.load(std::memory_order_relaxed), std::memory_order_relaxed);
      }
    }
    return tx.status();
  };
  if (auto done = store_.read_blocking(base::Context::system(clock_), look); !done) {
    base::log::warn("who may do what could not be looked up", {{"why", done.error().message}});
    return false;
  }
  has_users_ = any_user;
  for (const AdmissionPtr* each : due) (*each)->checked.store(changes, std::memory_order_relaxed);
  for (const AdmissionPtr* each : lost) (*each)->revoked.store(true, std::memory_order_release);
  std::lock_guard guard(mutex_);
  std::erase_if(kept_, [](const auto& entry) { return entry.second->revoked.load(std::memory_order_relaxed); });
  return true;
}

void Gatekeeper::write_uses(const std::vector<std::pair<Key, AdmissionPtr>>& all) {
  const int64_t mono_us = clock_.mono_us();
  const int64_t wall_us = clock_.wall_us();
  std::vector<const Admission*> used;
  for (const auto& [key, admission] : all) {
    if (admission->via != Via::kToken && admission->via != Via::kSession) continue;
    if (admission->identity.user == 0 || admission->revoked) continue;
    const int64_t used_wall_us = wall_us - (mono_us - admission->used_us.load(std::memory_order_relaxed));
    if (used_wall_us - admission->identity.seen_us > core::kSeenEveryUs) used.push_back(admission.get());
  }
  if (used.empty()) return;
  auto note = [&](store::Tx& tx) -> base::Result<void> {
    for (const Admission* each : used) {
      if (each->via == Via::kToken)
        core::note_token_use(tx, each->hash);
      else
        core::note_session_use(tx, each->hash);
    }
    return tx.status();
  };
  if (auto done = store_.write_blocking(base::Context::system(clock_), note); !done) {
    base::log::warn("last uses could not be written down", {{"why", done.error().message}});
    return;
  }
  for (const auto& [key, admission] : all) {  // the watcher alone writes seen_us of what is kept
    if (std::ranges::find(used, admission.get()) != used.end()) admission->identity.seen_us = wall_us;
  }
}

void Gatekeeper::forget_unused() {
  const int64_t now_us = clock_.mono_us();
  std::lock_guard guard(mutex_);
  std::erase_if(kept_, [&](const auto& entry) {
    return entry.second.use_count() == 1 && now_us - entry.second->used_us.load() > kUnusedUs;
  });
}

void Gatekeeper::watch(const std::stop_token& stop) {
  uint64_t seen = 0;
  int64_t uses_us = clock_.mono_us();
  int64_t tidy_us = clock_.mono_us();
  while (!stop.stop_requested()) {
    const uint64_t changes = changes_.load(std::memory_order_acquire);
    const int64_t now_us = clock_.mono_us();
    auto all = everybody();
    const bool over = std::ranges::any_of(
        all, [&](const auto& each) { return !each.second->revoked && is_over(*each.second, now_us); });
    if ((changes == seen && !over) || look_again(all, changes)) {
      seen = changes;
      trusted_until_us_.store(clock_.mono_us() + kTrustUs, std::memory_order_release);
    }
    if (now_us - uses_us > kUsesUs) {
      uses_us = now_us;
      write_uses(all);
      all.clear();  // else each would count as held
      forget_unused();
    }
    if (now_us - tidy_us > kTidyUs) {
      tidy_us = now_us;
      auto tidy = [](store::Tx& tx) -> base::Result<int64_t> { return core::drop_old_sessions(tx); };
      std::ignore = store_.write_blocking(base::Context::system(clock_), tidy);
    }
    std::unique_lock lock(wake_mutex_);
    wake_.wait_for(lock, stop, std::chrono::microseconds(kLookUs), [] { return false; });
    listening_ = true;
    wake_.wait_for(lock, stop, std::chrono::microseconds(kRestUs - kLookUs), [&] { return changes_ != seen; });
    listening_ = false;
  }
}

}  // namespace gate
