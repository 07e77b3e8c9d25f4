#include "core/session.h"

#include <algorithm>

#include "base/ids.h"
#include "core/users.h"

namespace core {
namespace {
constexpr int64_t kKeepExpiredTokensUs = int64_t{30} * 24 * 3600 * 1'000'000;
constexpr int64_t kDropAtOnce = 1000;
}  // namespace

base::Result<std::string> open_session(store::Tx& tx, int64_t user, std::string_view address) {
  tx.lock("user", std::to_string(user));
  tx.exec(
      "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE principal = ?"
      " ORDER BY seen_us DESC LIMIT 1000 OFFSET ?)",
      user, kSessionsPerUser - 1);
  std::string secret = base::random_token(*tx.ctx().random);
  const std::string hash = hash_of_secret(secret);
  tx.exec(
      "INSERT INTO sessions (hash, project, principal, address, created_us, seen_us, expires_us)"
      " VALUES (?, ?, ?, ?, ?, ?, ?)",
      store::Blob{hash}, kServerProject, user, address, tx.now_us(), tx.now_us(), tx.now_us() + kSessionAgeUs);
  TRY(tx.status());
  return secret;
}

base::Result<std::optional<Identity>> find_session(store::Tx& tx, std::string_view hash) {
  store::Rows rows = tx.query(
      "SELECT p.kind, p.name, p.id, s.seen_us, s.expires_us FROM sessions s"
      " JOIN principals p ON p.id = s.principal WHERE s.hash = ?",
      store::Blob{hash});
  if (!rows.next()) {
    TRY(tx.status());
    return std::nullopt;
  }
  Identity identity;
  identity.actor = {static_cast<base::ActorKind>(rows.i64(0)), rows.str(1), ""};
  identity.user = rows.i64(2);
  identity.seen_us = rows.i64(3);
  identity.expires_us = std::min(rows.i64(4), identity.seen_us + kSessionIdleUs);
  if (identity.expires_us <= tx.now_us()) return std::nullopt;
  return identity;
}

void note_session_use(store::Tx& tx, std::string_view hash) {
  tx.exec("UPDATE sessions SET seen_us = ? WHERE hash = ? AND seen_us < ?", tx.now_us(), store::Blob{hash},
          tx.now_us());
}

void end_session(store::Tx& tx, std::string_view hash) {
  tx.exec("DELETE FROM sessions WHERE hash = ?", store::Blob{hash});
}

void end_sessions_of(store::Tx& tx, int64_t user) { tx.exec("DELETE FROM sessions WHERE principal = ?", user); }

int64_t drop_old_sessions(store::Tx& tx) {
  const int64_t now = tx.now_us();
  return tx.exec(
             "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE expires_us <= ? OR seen_us <= ?"
             " LIMIT ?)",
             now, now - kSessionIdleUs, kDropAtOnce) +
         tx.exec(
             "DELETE FROM tokens WHERE hash IN (SELECT hash FROM tokens WHERE project = ? AND expires_us > 0 AND"
             " expires_us <= ? LIMIT ?)",
             kServerProject, now - kKeepExpiredTokensUs, kDropAtOnce);
}

}  // namespace core
