#include "base/json_writer.h"
#include "core/audit.h"
#include "core/event.h"
#include "core/identity.h"
#include "core/users.h"
#include "lab/lab.h"

namespace lab {
namespace {

constexpr std::string_view kLocalOwner = "local";  // the machine's owner without a login

constexpr std::string_view kColumns =
    "SELECT owner, public_id, project, state, root, program, memory_bytes, idle_us, started_us, ended_us, detail,"
    " token FROM lab_servers";

Server read_row(store::Rows& rows) {
  return {.owner = rows.str(0),
          .id = rows.str(1),
          .project = rows.i64(2),
          .state = static_cast<State>(rows.i64(3)),
          .root = rows.str(4),
          .program = rows.str(5),
          .memory_bytes = rows.i64(6),
          .idle_us = rows.i64(7),
          .started_us = rows.i64(8),
          .ended_us = rows.i64(9),
          .detail = rows.str(10),
          .token = rows.str(11)};
}

std::string principal_of(std::string_view owner) { return "lab:" + std::string(owner); }

std::string body_of(const Server& server) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("server", server.id).field("state", name(server.state)).field("detail", server.detail);
  json.end_object();
  return body;
}

// For what runs in it: a person's own token, which ends with them; or, for the machine's owner, who has no user behind
// them, one of the server's.
base::Result<void> mint(store::Tx& tx, Begun& begun) {
  if (tx.ctx().actor.kind == base::ActorKind::kUser) {
    const auto user = core::find_user(tx, begun.server.owner);
    if (!user) return base::not_found("there is no user '" + begun.server.owner + "'");
    TRY_SET(auto minted, core::mint_user_token(tx, {.user = user->id, .label = "notebook server"}));
    begun.server.token = std::move(minted.id);
    begun.token = std::move(minted.secret);
    return {};
  }
  TRY_SET(begun.token,
          core::mint_token(tx, {.principal = principal_of(begun.server.owner), .kind = base::ActorKind::kUser}));
  return {};
}

base::Result<void> revoke(store::Tx& tx, const Server& server) {
  if (server.token.empty()) return core::revoke_tokens_of(tx, principal_of(server.owner));
  auto revoked = core::revoke_token(tx, server.token, std::nullopt);
  if (!revoked && revoked.error().code != base::Code::kNotFound) return std::unexpected(std::move(revoked).error());
  return {};  // its owner may have taken it back already
}

bool is_over(State state) { return state == State::kStopped || state == State::kFailed; }

}  // namespace

std::string_view name(State state) {
  switch (state) {
    case State::kStopped: return "stopped";
    case State::kStarting: return "starting";
    case State::kRunning: return "running";
    case State::kStopping: return "stopping";
    case State::kFailed: return "failed";
  }
  return "stopped";
}

base::Result<std::string> owner_of(const base::Actor& actor) {
  if (actor.kind == base::ActorKind::kLocal) return std::string(kLocalOwner);
  if (actor.kind == base::ActorKind::kUser) {
    const std::string_view full = actor.name;
    const std::string_view own = full.starts_with("user:") ? full.substr(5) : full;
    if (own == kLocalOwner)
      return base::fail(base::Code::kForbidden, "the notebook server 'local' is that of whoever runs this server");
    return std::string(own);
  }
  return base::fail(base::Code::kForbidden, "'" + actor.name + "' is no person; notebooks belong to people");
}

base::Result<Begun> begin(store::Tx& tx, const NewServer& server) {
  tx.lock("lab", server.owner);
  Begun begun;
  {
    store::Rows rows = tx.query(std::string(kColumns) + " WHERE owner = ?", server.owner);
    if (rows.next()) begun.server = read_row(rows);
  }
  TRY(tx.status());
  if (begun.server.state == State::kStarting || begun.server.state == State::kRunning) return begun;
  if (begun.server.state == State::kStopping)
    return base::fail(base::Code::kConflict, "the notebook server is just stopping; try again in a few seconds");
  if (tx.query_i64("SELECT count(*) FROM lab_servers WHERE state IN (1, 2, 3)").value_or(0) >=
      static_cast<int64_t>(kMaxServers)) {
    return base::fail(base::Code::kTooMany, std::to_string(kMaxServers) + " notebook servers run already");
  }
  begun.server = {.owner = server.owner,
                  .id = tx.ctx().new_id("lab"),
                  .project = tx.project(),
                  .state = State::kStarting,
                  .root = server.root,
                  .program = server.program,
                  .memory_bytes = server.memory_bytes,
                  .idle_us = server.idle_us,
                  .started_us = tx.now_us()};
  TRY(mint(tx, begun));
  const Server& s = begun.server;
  tx.exec("DELETE FROM lab_servers WHERE owner = ?", s.owner);
  tx.exec(
      "INSERT INTO lab_servers (project, owner, public_id, state, root, program, memory_bytes, idle_us, started_us,"
      " ended_us, detail, token) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', ?)",
      s.project, s.owner, s.id, static_cast<int>(s.state), s.root, s.program, s.memory_bytes, s.idle_us, s.started_us,
      s.token);
  core::emit(tx, "lab.started", "lab", s.owner, body_of(s));
  core::audit(tx, "lab.started", "lab", s.owner, body_of(s));
  TRY(tx.status());
  return begun;
}

base::Result<bool> move(store::Tx& tx, std::string_view owner, std::string_view id, State state,
                        std::string_view detail) {
  const int64_t ended_us = is_over(state) ? tx.now_us() : 0;
  const int64_t changed = tx.exec(
      "UPDATE lab_servers SET state = ?, detail = ?, ended_us = ? WHERE owner = ? AND public_id = ? AND state <> ?",
      static_cast<int>(state), detail, ended_us, owner, id, static_cast<int>(state));
  TRY(tx.status());
  if (changed == 0) return false;
  Server now;
  now.owner = owner, now.id = id, now.state = state, now.detail = detail;
  core::emit(tx, "lab." + std::string(name(state)), "lab", owner, body_of(now));
  if (is_over(state)) {
    core::audit(tx, "lab." + std::string(name(state)), "lab", owner, body_of(now));
    store::Rows rows = tx.query(std::string(kColumns) + " WHERE owner = ?", owner);
    if (!rows.next()) return std::unexpected(tx.status().error());
    TRY(revoke(tx, read_row(rows)));
  }
  TRY(tx.status());
  return true;
}

base::Result<std::vector<Server>> all(store::Tx& tx) {
  std::vector<Server> servers;
  store::Rows rows = tx.query(std::string(kColumns) + " ORDER BY owner");
  while (rows.next()) servers.push_back(read_row(rows));
  TRY(tx.status());
  return servers;
}

}  // namespace lab
