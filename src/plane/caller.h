// Caller: who a bearer token belongs to and what he may do at the doors of a data plane, as its control plane says.
// Only the SHA-256 of a token travels and is kept; the token itself stays with its owner and the plane he spoke to.
// Thread: values and functions on a Tx.
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

namespace plane {

inline constexpr size_t kMaxAsked = 1000;  // tokens in one question

struct Caller {
  base::Actor actor;
  bool in_project = false;        // false: known, but not to this project
  base::Permissions permissions;  // of those that inference asks for: read, infer
  int64_t expires_us = 0;         // wall; 0: never
  bool operator==(const Caller& other) const {
    return actor.kind == other.actor.kind && actor.name == other.actor.name && actor.attempt == other.actor.attempt &&
           in_project == other.in_project && permissions == other.permissions && expires_us == other.expires_us;
  }
};

// {"callers": [null, {…}, …]}, one for each hash that was asked about.
std::string to_json(std::span<const std::optional<Caller>> callers);
base::Result<std::vector<std::optional<Caller>>> callers_of_json(std::string_view text);

// On the control plane: by the same rules as its own gate. Hashes are raw bytes.
struct FoundCallers {
  std::vector<std::optional<Caller>> callers;
  std::vector<std::string> used;  // hashes whose last use is due to be written down
};
base::Result<FoundCallers> find_callers(store::Tx& tx, std::string_view project_name,
                                        std::span<const std::string> hashes);

}  // namespace plane
