#include "serve/python_wire.h"

#include <gtest/gtest.h>

namespace serve::python {
namespace {

std::vector<Tensor> some() {
  Tensor numbers{.name = "numbers", .type = DataType::kFp64, .shape = {3, 1}};
  for (double value : {1.0, -2.5, 1e300}) append_number(numbers, value);
  Tensor bytes{.name = "b", .type = DataType::kUint8, .shape = {5}, .bytes = "12345"};
  Tensor texts{.name = "texts", .type = DataType::kBytes, .shape = {2, 2}, .strings = {"", "a", "\xff\0z", "ü"}};
  return {numbers, bytes, texts, Tensor{.name = "none", .type = DataType::kInt64, .shape = {0, 4}}};
}

base::Result<Frame> decode(std::string_view bytes) {
  TRY_SET(const Head head, decode_head(bytes));
  return decode_body(head, bytes.substr(kHeadBytes));
}

TEST(PythonWire, WhatIsWrittenIsRead) {
  const auto sent = some();
  const std::string bytes = encode(Kind::kAnswer, "{\"a\": 1}", sent);
  EXPECT_EQ(bytes.size() % 8, 0U);
  const auto frame = decode(bytes);
  ASSERT_TRUE(frame) << frame.error().message;
  EXPECT_EQ(frame->text, "{\"a\": 1}");
  ASSERT_EQ(frame->tensors.size(), sent.size());
  for (size_t i = 0; i < sent.size(); ++i) {
    EXPECT_EQ(frame->tensors[i].name, sent[i].name);
    EXPECT_EQ(frame->tensors[i].type, sent[i].type);
    EXPECT_EQ(frame->tensors[i].shape, sent[i].shape);
    EXPECT_EQ(frame->tensors[i].bytes, sent[i].bytes);
    EXPECT_EQ(frame->tensors[i].strings, sent[i].strings);
  }
}

TEST(PythonWire, WhatIsBrokenIsRefused) {
  const std::string bytes = encode(Kind::kAnswer, "text", some());
  for (size_t end = 0; end < bytes.size(); ++end) EXPECT_FALSE(decode(bytes.substr(0, std::max(end, kHeadBytes - 1))));
  EXPECT_FALSE(decode(bytes + "12345678"));
  for (size_t at = 0; at < bytes.size(); ++at) {  // whatever a flipped byte means, it is read or refused
    std::string other = bytes;
    other[at] = static_cast<char>(~other[at]);
    (void)decode(other).has_value();
  }
  Tensor wrong{.name = "x", .type = DataType::kFp64, .shape = {int64_t{1} << 40, int64_t{1} << 40}};
  EXPECT_FALSE(decode(encode(Kind::kAnswer, "", {&wrong, 1})));
}

}  // namespace
}  // namespace serve::python
