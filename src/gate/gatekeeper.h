// Gatekeeper: the server's net::Access. It keeps every grant that it gave, by the keyed digest of what was presented
// and the project asked for, and one thread of its own watches over them:
//  - after a commit that left an event (each change of access is one), all of them are looked up again in one read;
//    whose rights are different from what they were is revoked, which ends what its connections do;
//  - whose time is up (token, session, remembered password) is looked up again, too;
//  - last uses of tokens and sessions are written down, many at once, at most one a minute for each.
// An attempt's grant holds only until the next such commit: a superseded stage is refused at once, not soon.
// Should the thread not come round (the store does not answer), no grant is current: requests ask the store themselves.
//
// Thread: safe anywhere. is_current() and fingerprint() take no lock.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/identity.h"
#include "gate/passwords.h"
#include "net/access.h"
#include "store/store.h"

namespace gate {

enum class Via : uint8_t { kPeer, kToken, kSession, kPassword };

struct Admission final : net::Grant {
  Via via = Via::kPeer;
  core::Identity identity;
  std::string hash;                          // of the token or session
  std::string asked;                         // project, as presented
  int64_t stamp = 0;                         // kPassword: of the user when it was verified
  std::atomic<int64_t> until_us{INT64_MAX};  // monotonic: look again
  std::atomic<uint64_t> checked{0};          // number of the change up to which it is known to be right
  mutable std::atomic<int64_t> used_us{0};   // monotonic, to the second
};

// Of a request that passed the gate.
inline const Admission& admission_of(const net::Request& request) {
  return static_cast<const Admission&>(*request.grant);
}

class Gatekeeper final : public net::Access {
 public:
  static constexpr size_t kRemembered = 8192;        // more than connections can hold
  static constexpr int64_t kLookUs = 100'000;        // between two rounds, at least
  static constexpr int64_t kRestUs = 250'000;        // and at most
  static constexpr int64_t kTrustUs = 900'000;       // without a round
  static constexpr int64_t kUnusedUs = 300'000'000;  // a grant that no connection holds is forgotten

  // Reads whether there are users; the error is the store's.
  static base::Result<std::unique_ptr<Gatekeeper>> start(store::Store& store, const base::Clock& clock,
                                                         net::AccessPolicy policy);
  ~Gatekeeper() override;  // stops and joins

  net::Fingerprint fingerprint(const net::Presented& presented) const override;
  bool is_current(const net::Grant& grant) const override;
  base::Task<base::Result<std::shared_ptr<const net::Grant>>> admit(const net::Request& request,
                                                                    const net::Presented& presented) override;

  // Here and now, by whoever has just changed it; the watcher would come to it soon.
  void revoke_user(int64_t user);
  void revoke_secret(std::string_view hash);  // of a token or a session
  void access_may_have_changed();             // after a commit that left an event; does not block
  bool has_users() const { return has_users_.load(std::memory_order_relaxed); }
  Passwords& passwords() { return passwords_; }

 private:
  using Key = std::pair<uint64_t, uint64_t>;
  using AdmissionPtr = std::shared_ptr<Admission>;

  Gatekeeper(store::Store& store, const base::Clock& clock, net::AccessPolicy policy);
  base::Result<bool> look_up(store::Tx& tx, Admission& admission) const;
  base::Task<base::Result<AdmissionPtr>> identify(const net::Request& request, const net::Presented& presented);
  base::Task<base::Result<AdmissionPtr>> by_password(const net::Presented& presented);
  base::Task<base::Result<bool>> fill(Admission& admission);
  base::Error stranger(const net::Request& request) const;
  AdmissionPtr recall(const net::Fingerprint& print) const;
  AdmissionPtr keep(const net::Fingerprint& print, AdmissionPtr admission);

  void revoke_if(const std::function<bool(const Admission&)>& condition);
  void watch(const std::stop_token& stop);
  bool look_again(const std::vector<std::pair<Key, AdmissionPtr>>& all, uint64_t changes);
  void write_uses(const std::vector<std::pair<Key, AdmissionPtr>>& all);
  void forget_unused();
  std::vector<std::pair<Key, AdmissionPtr>> everybody() const;

  store::Store& store_;
  const base::Clock& clock_;
  KeyedDigest digest_;
  Passwords passwords_;
  std::atomic<uint64_t> changes_{1};
  std::atomic<int64_t> trusted_until_us_{0};
  std::atomic<bool> has_users_{false};
  mutable std::mutex mutex_;  // of kept_; never held over a wait
  std::map<Key, AdmissionPtr> kept_;
  std::mutex wake_mutex_;
  std::condition_variable_any wake_;
  std::atomic<bool> listening_{false};  // the watcher wants to be woken by a change
  std::jthread watcher_;                // last
};

}  // namespace gate
