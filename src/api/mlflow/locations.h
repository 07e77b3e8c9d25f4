// Which places a client may name for files: what `mlflow server` refuses at the door, and what its operator has ruled.
// Thread: pure; the policy is made at start-up.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace api::mlflow {

class LocationPolicy {
 public:
  struct Options {
    std::string source_regex;                  // a version's source must match it somewhere; "": any
    std::vector<std::string> allowed_schemes;  // that name a host, and are accepted all the same
  };
  static base::Result<std::shared_ptr<const LocationPolicy>> make(const Options& options);  // kInvalid: the regex
  virtual ~LocationPolicy() = default;

  // A URI whose scheme makes a server connect to the host in it (http, ftp, hdfs, …) is refused.
  virtual base::Result<void> check_scheme(std::string_view uri, std::string_view field) const = 0;
  virtual base::Result<void> check_source(const std::string& source) const = 0;
};

}  // namespace api::mlflow
