// Identity: principals and hashed bearer tokens. One mechanism for people, services, data planes and attempts.
//
// A token's secret is random, shown once, stored as SHA-256. The attempt token is the lineage seam: whatever the server
// is told with it is tied to that attempt, and it stops working when the attempt is superseded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/context.h"
#include "base/result.h"
#include "store/tx.h"

namespace core {

struct NewToken {
  std::string principal;      // "attempt:at_…", "user:ann", "service:x"; made if it does not exist
  base::ActorKind kind = base::ActorKind::kAttempt;
  std::string attempt;        // kAttempt: the attempt's public id
  int64_t expires_us = 0;     // 0: does not expire
};

// The secret; only its hash is kept.
base::Result<std::string> mint_token(store::Tx& tx, const NewToken& token);
base::Result<void> revoke_tokens_of(store::Tx& tx, std::string_view principal);  // emits "principal.revoked"

struct Identity {
  base::Actor actor;
  int64_t project = 0;
};
// Who a bearer secret belongs to, if it is live now.
base::Result<std::optional<Identity>> find_token(store::Tx& tx, std::string_view secret);

bool may(base::ActorKind kind, base::Permission permission);  // until users have roles (a later issue)

}  // namespace core
