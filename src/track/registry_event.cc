#include "track/registry_event.h"

#include <algorithm>

#include "base/json_writer.h"
#include "track/registered.h"

namespace track {
namespace {

bool is_prompt(store::Tx& tx, int64_t registered) {
  auto rows = tx.query("SELECT value FROM track_registered_tags WHERE project = ? AND registered = ? AND key = ?",
                       tx.project(), registered, kPromptTag);
  return rows.next() && std::ranges::equal(rows.text(0), std::string_view("true"),
                                           [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
}

}  // namespace

std::string registry_event_body(store::Tx& tx, int64_t registered,
                                std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object();
  for (const auto& [name, value] : fields) {
    if (value.size() <= kValueInEvent) json.field(name, value);
  }
  if (is_prompt(tx, registered)) json.field("prompt", true);
  json.end_object();
  return body;
}

}  // namespace track
