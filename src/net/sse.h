// Server-sent events (text/event-stream) over a streamed answer. Thread: its request's loop.
#pragma once

#include <string>
#include <string_view>

#include "net/http.h"

namespace net {

class EventStream {
 public:
  explicit EventStream(Response& response) : response_(response) {}

  base::Task<base::Result<void>> begin() {
    response_.header("Cache-Control", "no-store");
    return response_.begin(200, "text/event-stream", std::nullopt);
  }
  // `data` may have several lines; `id` is what the client sends back as Last-Event-ID.
  void add(std::string_view id, std::string_view event, std::string_view data) {
    if (!id.empty()) pending_.append("id: ").append(id).append("\n");
    if (!event.empty()) pending_.append("event: ").append(event).append("\n");
    for (;;) {
      const size_t line = data.find('\n');
      pending_.append("data: ").append(data.substr(0, line)).append("\n");
      if (line == data.npos) break;
      data.remove_prefix(line + 1);
    }
    pending_.append("\n");
  }
  void add_comment() { pending_.append(":\n\n"); }  // keeps the connection, and finds out that the peer has gone
  base::Task<base::Result<void>> flush() {
    std::string bytes = std::move(pending_);
    pending_.clear();
    co_return co_await response_.write(bytes);
  }

 private:
  Response& response_;
  std::string pending_;
};

}  // namespace net
