// Seldon's request message, read. Thread: free functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "serve/model.h"

namespace api::inference {

struct SeldonMessage {
  std::vector<serve::Tensor> tensors;
  std::string puid;
  bool as_tensor = false;  // and the answer, too
};
base::Result<SeldonMessage> parse_seldon(const serve::Predictor& predictor, std::string_view body);

}  // namespace api::inference
