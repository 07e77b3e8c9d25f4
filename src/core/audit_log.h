// Reading audit lines: whose, of what kind, page by page.
#pragma once

#include <string>
#include <vector>

#include "core/audit.h"

namespace core {

struct AuditFilter {
  int64_t before_id = 0;     // 0: from the newest
  std::string actor;         // "": anybody
  std::string action;        // "user.disabled", or "user" for all that begin with "user."
  bool with_server = false;  // also what was done to the whole server: users, tokens, sessions
  std::string model;         // of this registered model only
  bool models = false;       // of registered models only
};
// Newest first, of the Tx's project.
std::vector<AuditLine> audit_lines(store::Tx& tx, const AuditFilter& filter, size_t limit);

}  // namespace core
