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

std::string write_body(store::Tx& tx, int64_t registered,
                       std::initializer_list<std::pair<std::string_view, std::string_view>> fields,
                       const Birth* birth) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object();
  for (const auto& [name, value] : fields) {
    if (value.size() <= kValueInEvent) json.field(name, value);
  }
  if (birth != nullptr) {
    json.field("description", birth->description).key("tags").begin_object();
    for (const auto& [key, value] : birth->tags) json.field(key, value);
    json.end_object();
  }
  if (is_prompt(tx, registered)) json.field("prompt", true);
  json.end_object();
  return body;
}

}  // namespace

std::string registry_event_body(store::Tx& tx, int64_t registered,
                                std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  return write_body(tx, registered, fields, nullptr);
}

std::string registry_event_body(store::Tx& tx, int64_t registered,
                                std::initializer_list<std::pair<std::string_view, std::string_view>> fields,
                                const Birth& birth) {
  size_t bytes = birth.description.size();
  for (const auto& [key, value] : birth.tags) bytes += key.size() + value.size();
  return write_body(tx, registered, fields, bytes <= kBirthInEvent ? &birth : nullptr);
}

}  // namespace track
