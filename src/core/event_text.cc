#include "core/event_text.h"

#include <charconv>

namespace core {
namespace {

bool parse_part(std::string_view text, int64_t& out) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  return ec == std::errc() && end == text.data() + text.size() && out >= 0;
}

}  // namespace

std::string to_text(EventPosition position) {
  return std::to_string(position.xid) + "." + std::to_string(position.seq);
}

base::Result<EventPosition> parse_event_position(std::string_view text) {
  EventPosition position;
  const size_t dot = text.find('.');
  if (dot == text.npos || !parse_part(text.substr(0, dot), position.xid) ||
      !parse_part(text.substr(dot + 1), position.seq)) {
    return base::invalid("an event position is '" + std::string(text.substr(0, 80)) +
                         "'; it must look like 0.17, as an event's id does");
  }
  return position;
}

}  // namespace core
