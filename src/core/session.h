// Sessions of browsers: a random secret in a cookie, its hash here. A login always makes a new one (whoever planted an
// old one in the browser holds nothing), and they end by logout, by a new password, when idle, and by age.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/identity.h"

namespace core {

inline constexpr int64_t kSessionIdleUs = int64_t{12} * 3600 * 1'000'000;
inline constexpr int64_t kSessionAgeUs = int64_t{7} * 24 * 3600 * 1'000'000;
inline constexpr int64_t kSeenEveryUs = 60'000'000;  // use is written down at most so often
inline constexpr size_t kSessionsPerUser = 50;       // past it the one that was idle longest ends

base::Result<std::string> open_session(store::Tx& tx, int64_t user, std::string_view address);  // the secret
base::Result<std::optional<Identity>> find_session(store::Tx& tx, std::string_view hash);
void note_session_use(store::Tx& tx, std::string_view hash);
void end_session(store::Tx& tx, std::string_view hash);
void end_sessions_of(store::Tx& tx, int64_t user);
int64_t drop_old_sessions(store::Tx& tx);  // and tokens of users that expired a month ago; how many

}  // namespace core
