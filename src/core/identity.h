// Identity: principals, their hashed bearer tokens, and what roles allow. One mechanism for people, services, data
// planes and attempts; people and services are in users.h, browsers' sessions in session.h.
//
// A token's secret is random, shown once, stored as SHA-256. The attempt token is the lineage seam: whatever the server
// is told with it is tied to that attempt, and it stops working when the attempt is superseded. A user's token begins
// with kTokenPrefix, so that scanners and people recognise it, and never may more than its owner.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/permissions.h"
#include "base/result.h"
#include "store/tx.h"

namespace core {

// --- roles

// kContributor: reads, and makes experiments and models that are then his own (resource_access.h): MLflow's plain user.
// kPlane: a data plane (src/plane), which may nothing else.
enum class Role : uint8_t { kViewer, kEditor, kRunner, kInfer, kAdmin, kContributor, kPlane };
std::string_view name(Role role);
base::Result<Role> parse_role(std::string_view text);
base::Permissions permissions_of(Role role);
base::Permissions permissions_of(base::ActorKind kind);  // of those who have no roles: local, system, attempts

// --- tokens of attempts

struct NewToken {
  std::string principal;  // "attempt:at_…"; made if it does not exist
  base::ActorKind kind = base::ActorKind::kAttempt;
  std::string attempt;     // kAttempt: the attempt's public id
  int64_t expires_us = 0;  // 0: does not expire
};

// The secret; only its hash is kept.
base::Result<std::string> mint_token(store::Tx& tx, const NewToken& token);
base::Result<void> revoke_tokens_of(store::Tx& tx, std::string_view principal);  // emits "principal.revoked"

// --- tokens of users

inline constexpr std::string_view kTokenPrefix = "lathe_";
inline constexpr size_t kTokensPerUser = 100;

struct NewUserToken {
  int64_t user = 0;  // row id
  std::string label;
  std::optional<Role> role;  // at most what this role allows; none: all that the owner may
  int64_t scope = 0;         // row id of the only project it is for; 0: all of the owner's
  int64_t expires_us = 0;    // 0: does not expire
};

struct TokenInfo {
  std::string id;  // "tk_…"
  std::string owner, label, role, project;
  int64_t created_us = 0, expires_us = 0, seen_us = 0;  // seen: to the minute or so
};

struct MintedToken {
  std::string id, secret;
};
base::Result<MintedToken> mint_user_token(store::Tx& tx, const NewUserToken& token);
std::vector<TokenInfo> list_tokens(store::Tx& tx, std::optional<int64_t> user);  // nullopt: everybody's
// Answers the hash of its secret: whose grants are to be taken back at once.
base::Result<std::string> revoke_token(store::Tx& tx, std::string_view id, std::optional<int64_t> owner);

// --- who is it?

// Found by a secret; what it may in which project is asked of users.h.
struct Identity {
  base::Actor actor;
  int64_t user = 0;          // row id of a person or service; 0: an attempt
  int64_t project = 0;       // the only one it may enter; 0: all where the user has a role
  std::optional<Role> role;  // of a token: at most this
  int64_t expires_us = 0;    // 0: never
  int64_t seen_us = 0;       // when its last use was written down
};

std::string hash_of_secret(std::string_view secret);
// Who a bearer secret belongs to, if it is live now.
base::Result<std::optional<Identity>> find_token(store::Tx& tx, std::string_view secret);
base::Result<std::optional<Identity>> find_token_by_hash(store::Tx& tx, std::string_view hash);
void note_token_use(store::Tx& tx, std::string_view hash);

}  // namespace core
