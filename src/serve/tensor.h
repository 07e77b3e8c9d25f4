// Tensors as they come from a protocol and go into a model: name, type, shape and dense bytes; and the few operations
// on them that every door needs. Plain values; errors name the tensor and say what was expected.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace serve {

enum class DataType : uint8_t {
  kBool,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kFp16,
  kBf16,
  kFp32,
  kFp64,
  kBytes
};
std::string_view name(DataType type);  // "FP32": the Open Inference Protocol's words
std::optional<DataType> parse_data_type(std::string_view word);
size_t byte_size(DataType type);  // 0 for kBytes
bool is_floating(DataType type);

struct TensorInfo {
  std::string name;
  DataType type = DataType::kFp32;
  std::vector<int64_t> shape;  // -1: any
};

struct Tensor {
  std::string name;
  DataType type = DataType::kFp32;
  std::vector<int64_t> shape;
  std::string bytes;                 // dense, little-endian, row-major; empty for kBytes
  std::vector<std::string> strings;  // kBytes
};

inline constexpr size_t kMaxRank = 8;

// Number of elements; kInvalid on a negative dimension, more than kMaxRank dimensions, or more elements than a request
// body could ever hold (so that a product never overflows).
base::Result<size_t> element_count(std::string_view tensor, std::span<const int64_t> shape);
std::string shape_text(std::span<const int64_t> shape);  // "[-1,4]"

// Is `tensor` a well-formed value for `info` (type, rank, fixed dimensions, byte count)?
base::Result<void> check_tensor(const Tensor& tensor, const TensorInfo& info);

// One element as a number (0 for kBytes); index is not checked.
double number_at(const Tensor& tensor, size_t index);
// Appends one element to tensor.bytes, rounded to the tensor's type; false if it does not fit (range, or a fraction for
// an integer type).
bool append_number(Tensor& tensor, double value);
// One element as shortest text: "7", "0.25", "true", or the string itself.
std::string text_at(const Tensor& tensor, size_t index);

uint16_t to_half(float value);
float from_half(uint16_t bits);
uint16_t to_bfloat(float value);
float from_bfloat(uint16_t bits);

}  // namespace serve
