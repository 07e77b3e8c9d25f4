// Doorkeeper: a data plane's net::Access. Who a bearer token belongs to is asked of the control plane once, and then
// kept, by the token's SHA-256 and durably, so that the plane goes on letting its callers in when the control plane is
// away, after a restart too:
//
//   in touch      the events say at once whose rights have changed; all are asked about anew every five minutes
//   out of touch  what was vouched for holds for `grace_us` after the last contact, and no longer; nobody new comes in
//   refused       the control plane does not take the plane's own token any more: no caller's token is taken either
//
// A token's own end is kept to in any case. Without a secret only the plane's own user on loopback comes in, to ask
// models, as on the control plane, and not where that requires a login. Passwords are the control plane's business.
//
// Thread: safe anywhere. is_current() and fingerprint() take no lock.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"
#include "gate/passwords.h"
#include "net/access.h"
#include "net/offload.h"
#include "plane/control.h"

namespace plane {

inline constexpr size_t kMaxCallers = 8192;  // kept; the one that was not seen for longest goes

class Doorkeeper final : public net::Access {
 public:
  struct Options {
    base::Path file;                     // callers.json
    int64_t grace_us = 3'600'000'000;    // out of touch
    int64_t ask_again_us = 300'000'000;  // in touch
  };
  Doorkeeper(Control& control, const base::Clock& clock, Options options, net::AccessPolicy policy);

  void load();  // what was vouched for before this start, if it is young enough
  void serves(int64_t project, std::string project_name, bool require_login);  // before anybody is let in

  net::Fingerprint fingerprint(const net::Presented& presented) const override;
  bool is_current(const net::Grant& grant) const override;
  base::Task<base::Result<std::shared_ptr<const net::Grant>>> admit(const net::Request& request,
                                                                    const net::Presented& presented) override;

  // By the thread that listens to the control plane.
  void in_touch();                                         // it is there, and all that it said was acted on
  base::Result<void> ask_again();                          // about everybody, and takes back what is no longer right
  bool is_away() const;                                    // asking is no use: nothing was heard for a while
  bool is_due() const;                                     // to ask again
  base::Result<void> suspect(std::string_view principal);  // its rights have changed: none are its until asked
  void refused();                                          // the plane's own token is not taken

 private:
  struct Kept;
  using Key = std::string;  // a token's hash
  std::shared_ptr<const net::Grant> recall(const Key& hash, const std::string& asked);
  base::Result<std::shared_ptr<const net::Grant>> look_up(const Key& hash, const std::string& asked);
  base::Result<void> ask(const std::vector<Key>& hashes);
  bool take(const std::vector<Key>& hashes, const std::vector<std::optional<Caller>>& callers);  // true: changed
  std::shared_ptr<Kept> kept_of(const Caller& caller) const;
  base::Result<std::shared_ptr<const net::Grant>> local_user(const net::Request& request);
  base::Result<std::shared_ptr<const net::Grant>> within(std::shared_ptr<const Kept> kept, const std::string& asked);
  void save();  // the caller does not hold mutex_

  Control& control_;
  const base::Clock& clock_;
  const Options options_;
  const gate::KeyedDigest digest_;
  std::atomic<int64_t> trusted_until_us_{0};  // monotonic
  std::atomic<int64_t> asked_us_{0};          // monotonic: about everybody
  std::atomic<int64_t> touched_us_{0};        // monotonic: the last contact; 0: none yet
  std::atomic<bool> require_login_{false};
  std::mutex mutex_;
  int64_t project_ = 0;
  std::string project_name_;
  int64_t contact_us_ = 0;  // wall
  int64_t saved_us_ = 0;    // wall
  std::map<Key, std::shared_ptr<Kept>> kept_;
  std::shared_ptr<const net::Grant> local_;
  std::mutex saving_;    // order: saving_, then mutex_
  net::Offload asking_;  // bounded: a flood of unknown tokens is a 429, not a flood of questions. Last
};

}  // namespace plane
