#include "api/inference/oip_request.h"

#include <gtest/gtest.h>

#include <cmath>

#include "net/http.h"

namespace api::inference {
namespace {

base::Result<OipRequest> parse(std::string body) {
  const size_t size = body.size();
  body.reserve(size + net::Request::kBodyPadding);
  return parse_oip(body, std::nullopt);
}

TEST(OipRequest, NullIsAMissingNumber) {
  const auto request = parse(R"({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1.5, null]}]})");
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(serve::number_at(request->inputs[0], 0), 1.5);
  EXPECT_TRUE(std::isnan(serve::number_at(request->inputs[0], 1)));
}

TEST(OipRequest, WhatOnlyBeginsLikeNullIsRefused) {
  for (const char* data : {"[1, n\": 2, \"nputs\"]", "[1, nul]", "[nothing, 2]", "[1, n]", "[1, nulll]"}) {
    const auto request =
        parse(R"({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": )" + std::string(data) + "}]}");
    ASSERT_FALSE(request) << data;
    EXPECT_EQ(request.error().code, base::Code::kInvalid) << data;
  }
}

}  // namespace
}  // namespace api::inference
