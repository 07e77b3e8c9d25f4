#include "core/identity.h"

#include <algorithm>

#include "base/hash.h"
#include "base/ids.h"
#include "core/audit.h"
#include "core/event.h"
#include "core/users.h"

namespace core {
namespace {

constexpr size_t kMaxSecret = 512;  // ours have 43 characters; what is longer is not hashed
constexpr size_t kMaxLabel = 100;

constexpr std::pair<Role, std::string_view> kRoles[] = {
    {Role::kViewer, "viewer"}, {Role::kEditor, "editor"},           {Role::kRunner, "runner"}, {Role::kInfer, "infer"},
    {Role::kAdmin, "admin"},   {Role::kContributor, "contributor"}, {Role::kPlane, "plane"}};

constexpr std::string_view kFindToken =
    "SELECT p.kind, p.name, p.attempt, p.project, t.expires_us, p.id, t.role, t.scope, t.seen_us"
    " FROM tokens t JOIN principals p ON p.id = t.principal WHERE t.hash = ?";

constexpr std::string_view kListTokens =
    "SELECT t.id, u.name, t.label, t.role, COALESCE(p.name, ''), t.created_us, t.expires_us, t.seen_us FROM tokens t"
    " JOIN users u ON u.id = t.principal LEFT JOIN projects p ON p.id = t.scope";

}  // namespace

std::string_view name(Role role) {
  return std::ranges::find(kRoles, role, [](const auto& r) { return r.first; })->second;
}

base::Result<Role> parse_role(std::string_view text) {
  const auto found = std::ranges::find(kRoles, text, [](const auto& r) { return r.second; });
  if (found != std::end(kRoles)) return found->first;
  return base::invalid("the role is '" + std::string(text.substr(0, 80)) +
                       "'; allowed: viewer, contributor, editor, runner, infer, admin, plane");
}

base::Permissions permissions_of(Role role) {
  using base::Permission;
  switch (role) {
    case Role::kViewer:
    case Role::kContributor: return {Permission::kRead};
    case Role::kInfer: return {Permission::kInfer};
    case Role::kPlane: return {Permission::kPlane};
    case Role::kEditor: return {Permission::kRead, Permission::kWrite, Permission::kInfer};
    case Role::kRunner: return {Permission::kRead, Permission::kWrite, Permission::kInfer, Permission::kRunCode};
    case Role::kAdmin:
      return {Permission::kRead, Permission::kWrite, Permission::kInfer, Permission::kRunCode, Permission::kAdmin};
  }
  return {};
}

base::Permissions permissions_of(base::ActorKind kind) {
  using base::ActorKind;
  using base::Permission;
  switch (kind) {
    case ActorKind::kSystem:
    case ActorKind::kLocal: return base::kEveryPermission;
    case ActorKind::kAttempt:  // a stage reads, writes its results, asks models; it starts nothing and administers
                               // nothing
      return {Permission::kRead, Permission::kWrite, Permission::kInfer};
    // Of a token without a user behind it, in its one project. People and services have roles instead (users.h).
    case ActorKind::kUser: return {Permission::kRead, Permission::kWrite, Permission::kRunCode, Permission::kInfer};
    case ActorKind::kService: return {Permission::kRead, Permission::kInfer};
  }
  return {};
}

std::string hash_of_secret(std::string_view secret) {
  const base::Digest digest = base::sha256(secret);
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.size()};
}

base::Result<std::string> mint_token(store::Tx& tx, const NewToken& token) {
  tx.exec(
      "INSERT INTO principals (project, name, kind, attempt, created_us) VALUES (?, ?, ?, ?, ?)"
      " ON CONFLICT (project, name) DO NOTHING",
      tx.project(), token.principal, static_cast<int>(token.kind), token.attempt, tx.now_us());
  store::Rows rows = tx.query("SELECT id, kind, attempt FROM principals WHERE project = ? AND name = ?", tx.project(),
                              token.principal);
  if (!rows.next()) return std::unexpected(tx.status().error());
  if (rows.i64(1) != static_cast<int>(token.kind) || rows.text(2) != token.attempt) {
    return base::fail(base::Code::kConflict, "principal '" + token.principal + "' exists and is of another kind");
  }
  std::string secret = base::random_token(*tx.ctx().random);
  const std::string hash = hash_of_secret(secret);
  tx.exec("INSERT INTO tokens (hash, project, principal, created_us, expires_us) VALUES (?, ?, ?, ?, ?)",
          store::Blob{hash}, tx.project(), rows.i64(0), tx.now_us(), token.expires_us);
  // A stage's token comes with its attempt, which leaves lines of its own.
  if (token.kind != base::ActorKind::kAttempt) audit(tx, "token.minted", "principal", token.principal);
  TRY(tx.status());
  return secret;
}

base::Result<void> revoke_tokens_of(store::Tx& tx, std::string_view principal) {
  const int64_t revoked =
      tx.exec("DELETE FROM tokens WHERE principal IN (SELECT id FROM principals WHERE project = ? AND name = ?)",
              tx.project(), principal);
  if (revoked > 0) {
    emit(tx, "principal.revoked", "principal", principal);
    audit(tx, "token.revoked", "principal", principal);
  }
  return tx.status();
}

base::Result<MintedToken> mint_user_token(store::Tx& tx, const NewUserToken& token) {
  if (token.label.size() > kMaxLabel) {
    return base::invalid("a token's label has at most " + std::to_string(kMaxLabel) + " bytes; this one has " +
                         std::to_string(token.label.size()));
  }
  if (token.expires_us != 0 && token.expires_us <= tx.now_us())
    return base::invalid("the token would have expired already");
  tx.lock("user", std::to_string(token.user));
  const int64_t has = tx.query_i64("SELECT count(*) FROM tokens WHERE principal = ?", token.user).value_or(0);
  if (has >= static_cast<int64_t>(kTokensPerUser)) {
    return base::fail(base::Code::kConflict, "a user has at most " + std::to_string(kTokensPerUser) +
                                                 " tokens; revoke one that is not used any more");
  }
  MintedToken minted{tx.ctx().new_id("tk"), std::string(kTokenPrefix) + base::random_token(*tx.ctx().random)};
  const std::string hash = hash_of_secret(minted.secret);
  tx.exec(
      "INSERT INTO tokens (hash, project, principal, created_us, expires_us, id, label, role, scope, seen_us)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
      store::Blob{hash}, kServerProject, token.user, tx.now_us(), token.expires_us, minted.id, token.label,
      token.role ? name(*token.role) : std::string_view(), token.scope);
  audit(tx, "token.minted", "token", minted.id);
  TRY(tx.status());
  return minted;
}

std::vector<TokenInfo> list_tokens(store::Tx& tx, std::optional<int64_t> user) {
  static const std::string kMine = std::string(kListTokens) + " WHERE u.id = ? ORDER BY t.id";
  static const std::string kAll = std::string(kListTokens) + " WHERE t.id <> '' ORDER BY u.name, t.id";
  store::Rows rows = user ? tx.query(kMine, *user) : tx.query(kAll);
  std::vector<TokenInfo> tokens;
  while (rows.next()) {
    tokens.push_back(
        {rows.str(0), rows.str(1), rows.str(2), rows.str(3), rows.str(4), rows.i64(5), rows.i64(6), rows.i64(7)});
  }
  return tokens;
}

base::Result<std::string> revoke_token(store::Tx& tx, std::string_view id, std::optional<int64_t> owner) {
  store::Rows rows = tx.query(
      "SELECT p.id, p.name, t.hash FROM tokens t JOIN principals p ON p.id = t.principal"
      " WHERE t.id = ? AND t.project = ?",
      id, kServerProject);
  if (id.empty() || !rows.next() || (owner && *owner != rows.i64(0))) {
    TRY(tx.status());
    return base::not_found("there is no token '" + std::string(id.substr(0, 80)) + "'");
  }
  const std::string principal = rows.str(1);
  std::string hash = rows.str(2);
  tx.exec("DELETE FROM tokens WHERE id = ? AND project = ?", id, kServerProject);
  emit(tx, "principal.revoked", "principal", principal);
  audit(tx, "token.revoked", "token", id);
  TRY(tx.status());
  return hash;
}

base::Result<std::optional<Identity>> find_token(store::Tx& tx, std::string_view secret) {
  if (secret.empty() || secret.size() > kMaxSecret) return std::nullopt;
  return find_token_by_hash(tx, hash_of_secret(secret));
}

base::Result<std::optional<Identity>> find_token_by_hash(store::Tx& tx, std::string_view hash) {
  store::Rows rows = tx.query(kFindToken, store::Blob{hash});
  if (!rows.next()) {
    TRY(tx.status());
    return std::nullopt;
  }
  Identity identity;
  identity.expires_us = rows.i64(4);
  if (identity.expires_us != 0 && identity.expires_us <= tx.now_us()) return std::nullopt;
  identity.actor = {static_cast<base::ActorKind>(rows.i64(0)), rows.str(1), rows.str(2)};
  identity.project = rows.i64(3);
  if (identity.project == kServerProject) {  // a user's, who has roles; else an attempt's, which has one project
    identity.user = rows.i64(5);
    identity.project = rows.i64(7);
    identity.seen_us = rows.i64(8);
    const std::string role = rows.str(6);
    if (!role.empty()) {
      TRY_SET(identity.role, parse_role(role));
    }
  }
  return identity;
}

void note_token_use(store::Tx& tx, std::string_view hash) {
  tx.exec("UPDATE tokens SET seen_us = ? WHERE hash = ? AND seen_us < ?", tx.now_us(), store::Blob{hash}, tx.now_us());
}

}  // namespace core
