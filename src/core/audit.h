// Audit lines: changes of access, configuration, registry, promotion, deletion and code execution, written in the
// transaction that makes the change; who, when, what, from which request.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace core {

struct AuditLine {
  int64_t id = 0;
  int64_t at_us = 0;
  std::string actor;
  std::string action;  // "model_version.promoted", "alias.set", "bundle.applied", "stage.started", …
  std::string subject_kind;
  std::string subject;
  std::string request_id;
  std::string body;  // JSON object
};

// `model`: the registered model that it is about, by which its own history is read; "": none.
void audit(store::Tx& tx, std::string_view action, std::string_view subject_kind, std::string_view subject,
           std::string_view body = "{}", std::string_view model = {});
// A registered model's lines go with it to its new name.
void move_audit(store::Tx& tx, std::string_view model, std::string_view new_name);
// Newest first, before `before_id` (0: from the newest).
std::vector<AuditLine> audit_lines(store::Tx& tx, int64_t before_id, size_t limit);

}  // namespace core
