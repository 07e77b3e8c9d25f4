#include "api/inference/tensor_proto.h"

#include <gtest/gtest.h>

namespace api::inference {
namespace {

tensorflow::TensorProto proto(tensorflow::DataType type, std::initializer_list<int64_t> shape) {
  tensorflow::TensorProto out;
  out.set_dtype(type);
  for (const int64_t dim : shape) out.mutable_tensor_shape()->add_dim()->set_size(dim);
  return out;
}

TEST(TensorProto, ValuesThatRepeatAreWrittenOnce) {
  auto all = proto(tensorflow::DT_INT32, {2, 2});
  all.add_int_val(1);
  all.add_int_val(7);
  const auto tensor = read_tensor_proto("x", all);
  ASSERT_TRUE(tensor) << tensor.error().message;
  const int32_t wanted[] = {1, 7, 7, 7};
  EXPECT_EQ(tensor->bytes, std::string(reinterpret_cast<const char*>(wanted), sizeof wanted));
}

TEST(TensorProto, RefusesWhatDoesNotFit) {
  auto none = proto(tensorflow::DT_FLOAT, {2});
  auto many = proto(tensorflow::DT_FLOAT, {1});
  many.add_float_val(1);
  many.add_float_val(2);
  auto range = proto(tensorflow::DT_INT8, {1});
  range.add_int_val(128);
  auto negative = proto(tensorflow::DT_UINT8, {1});
  negative.add_int_val(-1);
  auto large = proto(tensorflow::DT_FLOAT, {1 << 20, 1 << 20});
  large.add_float_val(0);
  auto below = proto(tensorflow::DT_FLOAT, {-1});
  auto content = proto(tensorflow::DT_FLOAT, {2});
  content.set_tensor_content("1234");
  auto text = proto(tensorflow::DT_STRING, {1});
  text.set_tensor_content("abc");
  auto rank = proto(tensorflow::DT_FLOAT, {1});
  rank.mutable_tensor_shape()->set_unknown_rank(true);
  auto type = proto(static_cast<tensorflow::DataType>(8), {1});
  for (auto* bad : {&none, &many, &range, &negative, &large, &below, &content, &text, &rank, &type}) {
    const auto tensor = read_tensor_proto("x", *bad);
    ASSERT_FALSE(tensor) << bad->DebugString();
    EXPECT_FALSE(tensor.error().message.empty());
  }
}

TEST(TensorProto, IsReadAsItWasWritten) {
  const serve::Tensor numbers{.name = "x", .type = serve::DataType::kFp16, .shape = {2}, .bytes = "abcd"};
  const serve::Tensor texts{.name = "x", .type = serve::DataType::kBytes, .shape = {1, 2}, .strings = {"a", ""}};
  for (const auto& tensor : {numbers, texts}) {
    tensorflow::TensorProto message;
    write_tensor_proto(tensor, message);
    const auto again = read_tensor_proto("x", message);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->bytes, tensor.bytes);
    EXPECT_EQ(again->strings, tensor.strings);
    EXPECT_EQ(again->shape, tensor.shape);
  }
}

}  // namespace
}  // namespace api::inference
