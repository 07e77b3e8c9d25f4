#include "core/identity.h"

#include "base/hash.h"
#include "base/ids.h"
#include "core/audit.h"
#include "core/event.h"

namespace core {
namespace {

constexpr size_t kMaxSecret = 512;  // ours have 43 characters; what is longer is not hashed

std::string hash_of(std::string_view secret) {
  const base::Digest digest = base::sha256(secret);
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.size()};
}

}  // namespace

base::Result<std::string> mint_token(store::Tx& tx, const NewToken& token) {
  tx.exec("INSERT INTO principals (project, name, kind, attempt, created_us) VALUES (?, ?, ?, ?, ?)"
          " ON CONFLICT (project, name) DO NOTHING",
          tx.project(), token.principal, static_cast<int>(token.kind), token.attempt, tx.now_us());
  store::Rows rows = tx.query("SELECT id, kind, attempt FROM principals WHERE project = ? AND name = ?", tx.project(),
                              token.principal);
  if (!rows.next()) return std::unexpected(tx.status().error());
  if (rows.i64(1) != static_cast<int>(token.kind) || rows.text(2) != token.attempt) {
    return base::fail(base::Code::kConflict, "principal '" + token.principal + "' exists and is of another kind");
  }
  std::string secret = base::random_token(*tx.ctx().random);
  const std::string hash = hash_of(secret);
  tx.exec("INSERT INTO tokens (hash, project, principal, created_us, expires_us) VALUES (?, ?, ?, ?, ?)",
          store::Blob{hash}, tx.project(), rows.i64(0), tx.now_us(), token.expires_us);
  // A stage's token comes with its attempt, which leaves lines of its own.
  if (token.kind != base::ActorKind::kAttempt) audit(tx, "token.minted", "principal", token.principal);
  TRY(tx.status());
  return secret;
}

base::Result<void> revoke_tokens_of(store::Tx& tx, std::string_view principal) {
  const int64_t revoked = tx.exec(
      "DELETE FROM tokens WHERE principal IN (SELECT id FROM principals WHERE project = ? AND name = ?)", tx.project(),
      principal);
  if (revoked > 0) {
    emit(tx, "principal.revoked", "principal", principal);
    audit(tx, "token.revoked", "principal", principal);
  }
  return tx.status();
}

base::Result<std::optional<Identity>> find_token(store::Tx& tx, std::string_view secret) {
  if (secret.empty() || secret.size() > kMaxSecret) return std::nullopt;
  const std::string hash = hash_of(secret);
  store::Rows rows = tx.query(
      "SELECT p.kind, p.name, p.attempt, p.project, t.expires_us FROM tokens t JOIN principals p ON p.id = t.principal"
      " WHERE t.hash = ?",
      store::Blob{hash});
  if (!rows.next()) {
    TRY(tx.status());
    return std::nullopt;
  }
  const int64_t expires_us = rows.i64(4);
  if (expires_us != 0 && expires_us <= tx.now_us()) return std::nullopt;
  Identity identity;
  identity.actor = {static_cast<base::ActorKind>(rows.i64(0)), rows.str(1), rows.str(2)};
  identity.project = rows.i64(3);
  return identity;
}

bool may(base::ActorKind kind, base::Permission permission) {
  using base::ActorKind;
  using base::Permission;
  switch (kind) {
    case ActorKind::kSystem:
    case ActorKind::kLocal:
      return true;
    case ActorKind::kUser:
      return permission != Permission::kAdmin;
    case ActorKind::kService:
      return permission == Permission::kNone || permission == Permission::kRead || permission == Permission::kInfer;
    case ActorKind::kAttempt:  // a stage reads, writes its results, asks models; it starts nothing and administers nothing
      return permission != Permission::kAdmin && permission != Permission::kRunCode;
  }
  return false;
}

}  // namespace core
