// What the life of every serving process has in common: signals, limits of the process, the last word on going down.
// Thread: main's, before any other exists; end_in_time is a thread of its own.
#pragma once

#include <signal.h>

#include <stop_token>

#include "base/result.h"

namespace server {

inline constexpr int64_t kModulesUs = 2'000'000;  // of kDrainUs: for the rooms' threads, once the requests have ended

// Signals are taken by sigwait on this thread; every thread started later inherits the mask.
sigset_t block_signals();
void prepare_process();  // as many descriptors as the system allows
// The last word on how long going down may take. What a room still does past it is lost as in a power cut, which the
// store withstands.
void end_in_time(const std::stop_token& in_time);
int give_up(const base::Error& error);

}  // namespace server
