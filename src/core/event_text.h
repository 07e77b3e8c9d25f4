// An event's position as text, "<xid>.<seq>": what our API and SSE's Last-Event-ID call it. Thread: free functions.
#pragma once

#include <string>
#include <string_view>

#include "core/event.h"

namespace core {

std::string to_text(EventPosition position);
base::Result<EventPosition> parse_event_position(std::string_view text);

}  // namespace core
