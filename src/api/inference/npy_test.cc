#include "api/inference/npy.h"

#include <gtest/gtest.h>

#include <cstring>

namespace api::inference {
namespace {

using serve::DataType;
using serve::Tensor;

std::string file(std::string header, std::string_view bytes, char version = 1) {
  std::string out = "\x93NUMPY";
  out += version;
  out += '\0';
  const auto length = static_cast<uint32_t>(header.size());
  out.append(reinterpret_cast<const char*>(&length), version == 1 ? 2 : 4);
  return out.append(header).append(bytes);
}

std::string floats(std::initializer_list<float> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(float)};
}

const serve::TensorInfo kInfo{.name = "x", .type = DataType::kFp32, .shape = {-1, 2}};

TEST(Npy, ReadsWhatNumPyWrites) {
  for (const char version : {char{1}, char{2}}) {
    const auto tensor = parse_npy(
        file("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }  \n", floats({1.5F, -2}), version), kInfo);
    ASSERT_TRUE(tensor) << tensor.error().message;
    EXPECT_EQ(tensor->shape, (std::vector<int64_t>{1, 2}));
    EXPECT_EQ(tensor->bytes, floats({1.5F, -2}));
  }
}

TEST(Npy, ConvertsToTheInputsType) {
  const int64_t values[] = {3, -4};
  const std::string_view bytes(reinterpret_cast<const char*>(values), sizeof values);
  const auto tensor = parse_npy(file("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }", bytes), kInfo);
  ASSERT_TRUE(tensor) << tensor.error().message;
  EXPECT_EQ(tensor->bytes, floats({3, -4}));
  const serve::TensorInfo narrow{.name = "x", .type = DataType::kUint8, .shape = {-1}};
  EXPECT_FALSE(parse_npy(file("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }", bytes), narrow));
}

TEST(Npy, RefusesWhatItIsNot) {
  const std::string bytes = floats({1, 2});
  for (const std::string& bad :
       {std::string(), std::string("\x93NUMPY"), std::string("PK\x03\x04 and more bytes"),
        file("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }", bytes),
        file("{'descr': '>f4', 'fortran_order': False, 'shape': (1, 2), }", bytes),
        file("{'descr': '|O', 'fortran_order': False, 'shape': (1, 2), }", bytes),
        file("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }", bytes),
        file("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2), }", bytes),
        file("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9), }", bytes),
        file("{'descr': '<f4', 'fortran_order': False, 'shape': (x), }", bytes),
        file("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }", bytes, 3), file("", bytes)}) {
    const auto tensor = parse_npy(bad, kInfo);
    ASSERT_FALSE(tensor) << bad;
    EXPECT_EQ(tensor.error().code, base::Code::kInvalid);
  }
}

TEST(Npy, WritesWhatItReads) {
  const Tensor tensor{.name = "x", .type = DataType::kFp32, .shape = {2}, .bytes = floats({1, 2})};
  std::string out;
  ASSERT_TRUE(append_npy(out, tensor));
  uint16_t length = 0;
  std::memcpy(&length, out.data() + 8, 2);
  EXPECT_EQ((10 + length) % 64, 0U);
  const auto again = parse_npy(out, kInfo);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->bytes, tensor.bytes);
  EXPECT_EQ(again->shape, tensor.shape);
}

}  // namespace
}  // namespace api::inference
