// Bodies of the registry's events: what somebody who comes to the event later (a webhook) could no longer ask for,
// because it may have been changed again by then. Small: long values are left out and read from the store instead.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "store/tx.h"

namespace track {

inline constexpr size_t kValueInEvent = 1000;   // bytes; a longer tag's value or source stays in the store
inline constexpr size_t kBirthInEvent = 4'000;  // bytes of tags and description together, above which they stay there

// {"key":…, …} of the given fields, and "prompt":true for a registered model that is a prompt.
std::string registry_event_body(store::Tx& tx, int64_t registered,
                                std::initializer_list<std::pair<std::string_view, std::string_view>> fields);

// What a model or version was made with.
struct Birth {
  std::map<std::string, std::string> tags;
  std::string_view description;
};
// The same of something just made, with "tags":{…} and "description" ("" if there is none) as well.
std::string registry_event_body(store::Tx& tx, int64_t registered,
                                std::initializer_list<std::pair<std::string_view, std::string_view>> fields,
                                const Birth& birth);

}  // namespace track
