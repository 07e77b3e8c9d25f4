#include "plane/caller.h"

#include "base/json.h"
#include "base/json_writer.h"
#include "core/identity.h"
#include "core/session.h"
#include "core/users.h"

namespace plane {
namespace {

constexpr base::Permissions kAsked{base::Permission::kRead, base::Permission::kInfer};

base::Result<Caller> read_caller(const base::json::object& object) {
  Caller caller;
  TRY_SET(const int64_t kind, base::required_int(object, "kind"));
  TRY_SET(caller.actor.name, base::required_string(object, "name"));
  TRY_SET(caller.actor.attempt, base::required_string(object, "attempt"));
  TRY_SET(caller.in_project, base::required_bool(object, "in_project"));
  TRY_SET(const bool read, base::required_bool(object, "read"));
  TRY_SET(const bool infer, base::required_bool(object, "infer"));
  TRY_SET(caller.expires_us, base::required_int(object, "expires_us"));
  if (kind < 0 || kind > static_cast<int64_t>(base::ActorKind::kAttempt))
    return base::invalid("a caller is of an unknown kind");
  caller.actor.kind = static_cast<base::ActorKind>(kind);
  if (read) caller.permissions = caller.permissions | base::Permissions{base::Permission::kRead};
  if (infer) caller.permissions = caller.permissions | base::Permissions{base::Permission::kInfer};
  return caller;
}

}  // namespace

std::string to_json(std::span<const std::optional<Caller>> callers) {
  std::string out;
  base::JsonWriter json(out);
  json.begin_object().key("callers").begin_array();
  for (const auto& caller : callers) {
    if (!caller) {
      json.null();
      continue;
    }
    json.begin_object().field("kind", static_cast<int>(caller->actor.kind)).field("name", caller->actor.name);
    json.field("attempt", caller->actor.attempt).field("in_project", caller->in_project);
    json.field("read", caller->permissions.has(base::Permission::kRead));
    json.field("infer", caller->permissions.has(base::Permission::kInfer));
    json.field("expires_us", caller->expires_us).end_object();
  }
  json.end_array().end_object();
  return out;
}

base::Result<std::vector<std::optional<Caller>>> callers_of_json(std::string_view text) {
  TRY_SET(const base::json::value value, base::parse_json(text));
  TRY_SET(const base::json::object* object, base::as_object(value, "the answer"));
  TRY_SET(const base::json::array* callers, base::required_array(*object, "callers"));
  std::vector<std::optional<Caller>> out;
  for (const base::json::value& entry : *callers) {
    if (entry.is_null()) {
      out.emplace_back();
      continue;
    }
    TRY_SET(const base::json::object* caller, base::as_object(entry, "a caller"));
    TRY_SET(Caller read, read_caller(*caller));
    out.emplace_back(std::move(read));
  }
  return out;
}

base::Result<FoundCallers> find_callers(store::Tx& tx, std::string_view project_name,
                                        std::span<const std::string> hashes) {
  FoundCallers out;
  for (const std::string& hash : hashes) {
    out.callers.emplace_back();
    TRY_SET(const auto identity, core::find_token_by_hash(tx, hash));
    if (!identity) continue;
    TRY_SET(const auto reach, core::reach_of(tx, *identity, project_name));
    if (!reach) continue;  // disabled
    out.callers.back() = Caller{.actor = identity->actor,
                                .in_project = reach->known,
                                .permissions = reach->permissions & kAsked,
                                .expires_us = identity->expires_us};
    if (identity->user != 0 && tx.now_us() - identity->seen_us > core::kSeenEveryUs) out.used.push_back(hash);
  }
  return out;
}

}  // namespace plane
