// The dictionary of metric, param and tag names of a project: a name is stored once, rows carry its number.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "store/tx.h"

namespace track {

int64_t key_id(store::Tx& tx, std::string_view name);                   // made if absent
std::optional<int64_t> find_key(store::Tx& tx, std::string_view name);  // nullopt: no run ever used it

}  // namespace track
