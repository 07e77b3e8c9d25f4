// What a Jupyter server says of its work: kernels and terminals, as its REST API tells. Thread: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace lab {

struct Work {
  int kernels = 0;
  int busy = 0;  // that compute
  int terminals = 0;
  int64_t active_us = 0;  // the latest activity of any of them, wall time
};

// The bodies of GET api/kernels and GET api/terminals.
base::Result<Work> read_work(std::string_view kernels, std::string_view terminals);

// The arguments of `jupyter lab`: behind /user/OWNER/, on a socket that only this user can reach.
std::vector<std::string> jupyter_arguments(std::string_view owner, const std::string& socket, const std::string& root);

// "/user/OWNER", percent-encoded.
std::string base_path(std::string_view owner);

}  // namespace lab
