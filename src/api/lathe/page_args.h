// Query parameters of the browser's pages. A wrong one is answered with what was found and what is allowed; the first
// error stays. Thread: plain values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/http.h"

namespace api::lathe {

class PageArgs {
 public:
  explicit PageArgs(const net::Request& request) : request_(request) {}

  std::string text(std::string_view name) const { return request_.query_value(name).value_or(""); }
  std::vector<std::string> texts(std::string_view name) const { return request_.query_values(name); }
  bool flag(std::string_view name);  // "1" or "true"
  std::optional<int64_t> integer(std::string_view name);
  int64_t integer(std::string_view name, int64_t fallback, int64_t least, int64_t most);
  double number(std::string_view name, double fallback);
  // One of `allowed`; the first is the default.
  std::string_view choice(std::string_view name, std::span<const std::string_view> allowed);

  base::Result<void> status() const {
    if (error_) return std::unexpected(*error_);
    return {};
  }

 private:
  void fail(std::string message) {
    if (!error_) error_ = base::Error{base::Code::kInvalid, std::move(message)};
  }
  const net::Request& request_;
  std::optional<base::Error> error_;
};

}  // namespace api::lathe
