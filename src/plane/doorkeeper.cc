#include "plane/doorkeeper.h"

#include <algorithm>

#include "base/hash.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "core/identity.h"

namespace plane {
namespace {

constexpr size_t kAskingThreads = 2, kAskingQueue = 256;
constexpr size_t kMaxSecret = 512;       // ours are shorter
constexpr int64_t kAwayUs = 10'000'000;  // without contact: nobody waits for an answer that will not come
constexpr int64_t kSaveUs = 15'000'000;  // the last contact is written down at least so often
constexpr std::string_view kFormat = "lathe-callers-1";

base::Result<std::string> bytes_of(std::string_view hex) {
  TRY_SET(const base::Digest digest, base::Digest::from_hex(base::HashAlgo::kSha256, hex));
  return std::string(reinterpret_cast<const char*>(digest.bytes.data()), digest.size());
}

std::string hex_of(const std::string& bytes) {
  return base::to_hex({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

}  // namespace

struct Doorkeeper::Kept final : net::Grant {
  Caller caller;
  int64_t until_us = INT64_MAX;             // wall: the token's own end
  std::atomic<bool> sure{true};             // false: its rights have changed, and nobody has said to what yet
  mutable std::atomic<int64_t> used_us{0};  // monotonic
};

Doorkeeper::Doorkeeper(Control& control, const base::Clock& clock, Options options, net::AccessPolicy policy)
    : control_(control), clock_(clock), options_(std::move(options)), asking_(kAskingThreads, kAskingQueue) {
  policy_ = std::move(policy);
  require_login_ = policy_.require_login;
}

void Doorkeeper::serves(int64_t project, std::string project_name, bool require_login) {
  std::lock_guard lock(mutex_);
  require_login_ = policy_.require_login || require_login;
  if (project == project_ && project_name == project_name_) return;
  project_ = project;
  project_name_ = std::move(project_name);
  for (auto& [hash, kept] : kept_) kept->revoked = true;
  kept_.clear();
  auto local = std::make_shared<Kept>();
  local->actor = {base::ActorKind::kLocal, "local", ""};
  local->project = project_;
  local->project_name = project_name_;
  local->permissions = {base::Permission::kRead, base::Permission::kInfer};
  local_ = std::move(local);
}

// --- the folder

void Doorkeeper::load() {
  const auto text = base::read_file(options_.file);
  if (!text) return;
  const auto read = [&]() -> base::Result<void> {
    TRY_SET(const base::json::value value, base::parse_json(*text));
    TRY_SET(const base::json::object* object, base::as_object(value, "callers.json"));
    TRY_SET(const std::string format, base::required_string(*object, "format"));
    if (format != kFormat) return base::invalid("of another format");
    TRY_SET(const int64_t contact_us, base::required_int(*object, "contact_us"));
    TRY_SET(const base::json::array* hashes, base::required_array(*object, "hashes"));
    TRY_SET(const auto callers, callers_of_json(*text));
    if (callers.size() != hashes->size()) return base::invalid("hashes and callers are not equally many");
    const int64_t age_us = clock_.wall_us() - contact_us;
    if (age_us < 0) return base::invalid("the clock has gone back since it was written");
    std::lock_guard lock(mutex_);
    contact_us_ = contact_us;
    for (size_t i = 0; i < callers.size(); ++i) {
      if (!callers[i] || !(*hashes)[i].is_string()) continue;
      TRY_SET(const Key hash, bytes_of(std::string_view((*hashes)[i].get_string())));
      kept_[hash] = kept_of(*callers[i]);
    }
    trusted_until_us_ = clock_.mono_us() + options_.grace_us - age_us;
    return {};
  };
  if (const auto done = read(); !done)
    base::log::warn("who was let in before is forgotten", {{"why", done.error().message}});
}

// What is unsure is left out: it is asked about after a restart.
void Doorkeeper::save() {
  std::lock_guard saving(saving_);
  std::vector<std::optional<Caller>> callers;
  std::string text;
  {
    std::lock_guard lock(mutex_);
    base::JsonWriter json(text);
    json.begin_object().field("format", kFormat).field("contact_us", contact_us_).key("hashes").begin_array();
    for (const auto& [hash, kept] : kept_) {
      if (!kept->sure) continue;
      json.value(hex_of(hash));
      callers.emplace_back(kept->caller);
    }
    json.end_array();
    saved_us_ = clock_.wall_us();
  }
  text += "," + to_json(callers).substr(1);  // its one field goes on in the object that is open
  if (const auto written = base::write_file_durably(options_.file, text, 0600); !written)
    base::log::error("callers could not be written down", {{"why", written.error().message}});
}

// --- on the loops

net::Fingerprint Doorkeeper::fingerprint(const net::Presented& presented) const {
  return digest_.of(presented.secret, presented.project, static_cast<uint8_t>(presented.kind) + 1);
}

bool Doorkeeper::is_current(const net::Grant& grant) const {
  const auto& kept = static_cast<const Kept&>(grant);
  if (kept.revoked.load(std::memory_order_acquire) || !kept.sure.load(std::memory_order_acquire)) return false;
  if (kept.actor.kind == base::ActorKind::kLocal) return !require_login_.load(std::memory_order_relaxed);
  const int64_t now_us = clock_.mono_us();
  if (now_us >= trusted_until_us_.load(std::memory_order_acquire) || clock_.wall_us() >= kept.until_us) return false;
  if (now_us - kept.used_us.load(std::memory_order_relaxed) > 1'000'000)
    kept.used_us.store(now_us, std::memory_order_relaxed);
  return true;
}

base::Result<std::shared_ptr<const net::Grant>> Doorkeeper::local_user(const net::Request& request) {
  const bool may = request.peer.loopback && request.peer.same_user && !request.peer.is_proxy && !require_login_;
  std::lock_guard lock(mutex_);
  if (may && local_) return local_;
  return base::fail(base::Code::kUnauthenticated,
                    "log in: this data plane wants a token of its control plane (Authorization: Bearer …)");
}

// A grant is for the plane's project; asked about another one, he is in none.
base::Result<std::shared_ptr<const net::Grant>> Doorkeeper::within(std::shared_ptr<const Kept> kept,
                                                                   const std::string& asked) {
  if (asked.empty() || asked == kept->project_name) return kept;
  return base::not_found("project '" + asked.substr(0, 80) + "' is not served by this data plane");
}

base::Task<base::Result<std::shared_ptr<const net::Grant>>> Doorkeeper::admit(const net::Request& request,
                                                                              const net::Presented& presented) {
  using Kind = net::Presented::Kind;
  if (presented.kind == Kind::kBasic)
    co_return base::fail(base::Code::kUnauthenticated,
                         "a data plane takes tokens (Authorization: Bearer …); passwords stay with its control plane");
  if (presented.kind != Kind::kBearer) {  // a session is a browser's with the control plane: as if there were none
    auto local = local_user(request);
    if (!local) co_return std::unexpected(local.error());
    co_return within(std::static_pointer_cast<const Kept>(*local), presented.project);
  }
  if (presented.secret.empty() || presented.secret.size() > kMaxSecret)
    co_return base::fail(base::Code::kUnauthenticated, "this bearer token is unknown");
  const Key hash = core::hash_of_secret(presented.secret);
  if (auto known = recall(hash, presented.project)) co_return known;
  if (is_away()) {
    co_return base::fail(base::Code::kUnavailable,
                         "this token cannot be checked: the data plane is out of touch with its control plane");
  }
  auto look = [this, hash, asked = presented.project] { return look_up(hash, asked); };
  co_return co_await asking_.run(look);
}

std::shared_ptr<const net::Grant> Doorkeeper::recall(const Key& hash, const std::string& asked) {
  std::lock_guard lock(mutex_);
  const auto found = kept_.find(hash);
  if (found == kept_.end() || !is_current(*found->second)) return nullptr;
  const auto grant = within(found->second, asked);
  return grant ? *grant : nullptr;
}

// --- asking

std::shared_ptr<Doorkeeper::Kept> Doorkeeper::kept_of(const Caller& caller) const {
  auto kept = std::make_shared<Kept>();
  kept->caller = caller;
  kept->actor = caller.actor;
  kept->project = project_;
  kept->project_name = project_name_;
  kept->project_known = caller.in_project;
  kept->permissions = caller.permissions;
  if (caller.expires_us != 0) kept->until_us = caller.expires_us;
  kept->used_us = clock_.mono_us();
  return kept;
}

base::Result<std::shared_ptr<const net::Grant>> Doorkeeper::look_up(const Key& hash, const std::string& asked) {
  TRY(ask({hash}));
  std::lock_guard lock(mutex_);
  const auto found = kept_.find(hash);
  if (found == kept_.end())
    return base::fail(base::Code::kUnauthenticated, "this bearer token is unknown, has expired or was revoked");
  if (!is_current(*found->second))
    return base::fail(base::Code::kUnavailable,
                      "this token cannot be checked: the data plane is out of touch with its control plane");
  return within(found->second, asked);
}

// Puts what the control plane says in the place of what is kept.
base::Result<void> Doorkeeper::ask(const std::vector<Key>& hashes) {
  auto callers = control_.callers(hashes);
  if (!callers) {
    if (callers.error().code == base::Code::kUnauthenticated || callers.error().code == base::Code::kForbidden)
      refused();
    return base::fail(
        base::Code::kUnavailable,
        "this token cannot be checked: the control plane does not vouch for it now (" + callers.error().message + ")");
  }
  if (take(hashes, *callers)) save();
  return {};
}

bool Doorkeeper::take(const std::vector<Key>& hashes, const std::vector<std::optional<Caller>>& callers) {
  std::lock_guard lock(mutex_);
  bool changed = false;
  for (size_t i = 0; i < hashes.size(); ++i) {
    const auto found = kept_.find(hashes[i]);
    Kept* known = found == kept_.end() ? nullptr : found->second.get();
    const auto& said = callers[i];
    if (!known && !said) continue;
    if (known && said && known->caller == *said) {
      changed = !known->sure.exchange(true) || changed;
      continue;
    }
    changed = true;
    if (known) known->revoked = true;
    if (said) {
      kept_[hashes[i]] = kept_of(*said);
    } else {
      kept_.erase(found);
    }
  }
  while (kept_.size() > kMaxCallers) {
    const auto oldest = std::ranges::min_element(
        kept_, {}, [](const auto& entry) { return entry.second->used_us.load(std::memory_order_relaxed); });
    oldest->second->revoked = true;
    kept_.erase(oldest);
  }
  return changed;
}

base::Result<void> Doorkeeper::ask_again() {
  std::vector<Key> all;
  {
    std::lock_guard lock(mutex_);
    for (const auto& entry : kept_) all.push_back(entry.first);
  }
  for (size_t at = 0; at < all.size(); at += kMaxAsked) {
    const size_t end = std::min(at + kMaxAsked, all.size());
    TRY(ask({all.begin() + static_cast<std::ptrdiff_t>(at), all.begin() + static_cast<std::ptrdiff_t>(end)}));
  }
  asked_us_ = clock_.mono_us();
  return {};
}

bool Doorkeeper::is_away() const {
  const int64_t touched_us = touched_us_;
  return touched_us == 0 || clock_.mono_us() - touched_us > kAwayUs;
}

bool Doorkeeper::is_due() const { return clock_.mono_us() - asked_us_ >= options_.ask_again_us; }

base::Result<void> Doorkeeper::suspect(std::string_view principal) {
  std::vector<Key> its;
  {
    std::lock_guard lock(mutex_);
    for (auto& [hash, kept] : kept_) {
      if (kept->actor.name != principal) continue;
      kept->sure = false;
      its.push_back(hash);
    }
  }
  if (its.empty()) return {};
  save();  // a restart must not bring it back
  return ask(its);
}

void Doorkeeper::in_touch() {
  touched_us_ = clock_.mono_us();
  trusted_until_us_ = clock_.mono_us() + options_.grace_us;
  {
    std::lock_guard lock(mutex_);
    contact_us_ = clock_.wall_us();
    if (contact_us_ - saved_us_ < kSaveUs) return;
  }
  save();
}

void Doorkeeper::refused() {
  trusted_until_us_ = 0;
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(contact_us_, 0) == 0) return;
  }
  save();
}

}  // namespace plane
