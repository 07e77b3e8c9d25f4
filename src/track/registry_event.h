// Bodies of the registry's events: what somebody who comes to the event later (a webhook) could no longer ask for,
// because it may have been changed again by then. Small: long values are left out and read from the store instead.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "store/tx.h"

namespace track {

inline constexpr size_t kValueInEvent = 1000;  // bytes; a longer tag's value or source stays in the store

// {"key":…, …} of the given fields, and "prompt":true for a registered model that is a prompt.
std::string registry_event_body(store::Tx& tx, int64_t registered,
                                std::initializer_list<std::pair<std::string_view, std::string_view>> fields);

}  // namespace track
