// A Request that holds what a parser wrote into it; its body is read by the target itself.
#pragma once

#include "net/http.h"

namespace fuzz {

class HeadOnly final : public net::Request {
 public:
  base::Task<base::Result<size_t>> read_some(std::span<char>) override { co_return size_t{0}; }
};

}  // namespace fuzz
