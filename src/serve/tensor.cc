#include "serve/tensor.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/json_writer.h"
#include "base/limits.h"

namespace serve {
namespace {

struct TypeRow {
  std::string_view word;
  size_t bytes;
};
constexpr std::array<TypeRow, 14> kTypes = {{{"BOOL", 1},
                                             {"UINT8", 1},
                                             {"UINT16", 2},
                                             {"UINT32", 4},
                                             {"UINT64", 8},
                                             {"INT8", 1},
                                             {"INT16", 2},
                                             {"INT32", 4},
                                             {"INT64", 8},
                                             {"FP16", 2},
                                             {"BF16", 2},
                                             {"FP32", 4},
                                             {"FP64", 8},
                                             {"BYTES", 0}}};

template <class T>
T load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <class T>
bool append_integer(std::string& out, double value) {
  // The bounds as doubles: 2^63 and 2^64 are exact, so "< upper" is right where "<= max" would round up.
  constexpr double kLower = static_cast<double>(std::numeric_limits<T>::min());
  const double upper = std::ldexp(1.0, std::numeric_limits<T>::digits);
  if (!(value >= kLower && value < upper) || value != std::floor(value)) return false;
  const T number = static_cast<T>(value);
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
  return true;
}

template <class T>
void append_raw(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

std::string_view name(DataType type) { return kTypes[static_cast<size_t>(type)].word; }
size_t byte_size(DataType type) { return kTypes[static_cast<size_t>(type)].bytes; }

std::optional<DataType> parse_data_type(std::string_view word) {
  for (size_t i = 0; i < kTypes.size(); ++i) {
    if (kTypes[i].word == word) return static_cast<DataType>(i);
  }
  return std::nullopt;
}

bool is_floating(DataType type) {
  return type == DataType::kFp16 || type == DataType::kBf16 || type == DataType::kFp32 || type == DataType::kFp64;
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i) text += ',';
    text += std::to_string(shape[i]);
  }
  return text += ']';
}

base::Result<size_t> element_count(std::string_view tensor, std::span<const int64_t> shape) {
  if (shape.size() > kMaxRank) {
    return base::invalid("tensor '" + std::string(tensor) + "' has " + std::to_string(shape.size()) +
                         " dimensions; at most " + std::to_string(kMaxRank) + " are allowed");
  }
  // Even BOOL needs a byte per element, so no honest tensor has more elements than a body has bytes.
  constexpr size_t kMost = base::limits::kInferBody;
  size_t count = 1;
  for (int64_t dim : shape) {
    if (dim < 0) {
      return base::invalid("tensor '" + std::string(tensor) + "' has a negative dimension in its shape " +
                           shape_text(shape));
    }
    if (dim == 0) {
      count = 0;
    } else if (count > kMost / static_cast<size_t>(dim)) {
      return base::invalid("tensor '" + std::string(tensor) + "' of shape " + shape_text(shape) + " has more than " +
                           std::to_string(kMost) + " elements");
    } else {
      count *= static_cast<size_t>(dim);
    }
  }
  return count;
}

base::Result<void> check_tensor(const Tensor& tensor, const TensorInfo& info) {
  if (tensor.type != info.type) {
    return base::invalid("input '" + info.name + "' must be " + std::string(name(info.type)) + ", found " +
                         std::string(name(tensor.type)));
  }
  bool fits = tensor.shape.size() == info.shape.size();
  for (size_t i = 0; fits && i < info.shape.size(); ++i) fits = info.shape[i] < 0 || info.shape[i] == tensor.shape[i];
  if (!fits) {
    return base::invalid("input '" + info.name + "' must have shape " + shape_text(info.shape) + ", found " +
                         shape_text(tensor.shape));
  }
  TRY_SET(const size_t count, element_count(tensor.name, tensor.shape));
  const size_t have =
      tensor.type == DataType::kBytes ? tensor.strings.size() : tensor.bytes.size() / byte_size(tensor.type);
  if (have != count || (tensor.type != DataType::kBytes && tensor.bytes.size() % byte_size(tensor.type) != 0)) {
    return base::invalid("input '" + info.name + "' of shape " + shape_text(tensor.shape) + " needs " +
                         std::to_string(count) + " elements, found " + std::to_string(have));
  }
  return {};
}

double number_at(const Tensor& tensor, size_t index) {
  const char* at = tensor.bytes.data() + index * byte_size(tensor.type);
  switch (tensor.type) {
    case DataType::kBool: return load<uint8_t>(at) != 0;
    case DataType::kUint8: return load<uint8_t>(at);
    case DataType::kUint16: return load<uint16_t>(at);
    case DataType::kUint32: return load<uint32_t>(at);
    case DataType::kUint64: return static_cast<double>(load<uint64_t>(at));
    case DataType::kInt8: return load<int8_t>(at);
    case DataType::kInt16: return load<int16_t>(at);
    case DataType::kInt32: return load<int32_t>(at);
    case DataType::kInt64: return static_cast<double>(load<int64_t>(at));
    case DataType::kFp16: return from_half(load<uint16_t>(at));
    case DataType::kBf16: return from_bfloat(load<uint16_t>(at));
    case DataType::kFp32: return load<float>(at);
    case DataType::kFp64: return load<double>(at);
    case DataType::kBytes: return 0;
  }
  return 0;
}

bool append_number(Tensor& tensor, double value) {
  std::string& out = tensor.bytes;
  switch (tensor.type) {
    case DataType::kBool:
      if (value != 0 && value != 1) return false;
      out.push_back(static_cast<char>(value));
      return true;
    case DataType::kUint8: return append_integer<uint8_t>(out, value);
    case DataType::kUint16: return append_integer<uint16_t>(out, value);
    case DataType::kUint32: return append_integer<uint32_t>(out, value);
    case DataType::kUint64: return append_integer<uint64_t>(out, value);
    case DataType::kInt8: return append_integer<int8_t>(out, value);
    case DataType::kInt16: return append_integer<int16_t>(out, value);
    case DataType::kInt32: return append_integer<int32_t>(out, value);
    case DataType::kInt64: return append_integer<int64_t>(out, value);
    case DataType::kFp16: {
      const uint16_t bits = to_half(static_cast<float>(value));
      if (std::isfinite(value) && (bits & 0x7fff) == 0x7c00) return false;
      append_raw(out, bits);
      return true;
    }
    case DataType::kBf16: {
      const uint16_t bits = to_bfloat(static_cast<float>(value));
      if (std::isfinite(value) && (bits & 0x7fff) == 0x7f80) return false;
      append_raw(out, bits);
      return true;
    }
    case DataType::kFp32: {
      // A finite double beyond float's range would silently become an infinity.
      if (std::isfinite(value) && std::abs(value) > static_cast<double>(std::numeric_limits<float>::max()))
        return false;
      append_raw(out, static_cast<float>(value));
      return true;
    }
    case DataType::kFp64: append_raw(out, value); return true;
    case DataType::kBytes: return false;
  }
  return false;
}

std::string text_at(const Tensor& tensor, size_t index) {
  switch (tensor.type) {
    case DataType::kBytes: return tensor.strings[index];
    case DataType::kBool: return tensor.bytes[index] ? "true" : "false";
    case DataType::kInt64: return std::to_string(load<int64_t>(tensor.bytes.data() + index * 8));
    case DataType::kUint64: return std::to_string(load<uint64_t>(tensor.bytes.data() + index * 8));
    case DataType::kFp32: {  // shortest text of the float, not of the double it widens to
      char text[32];
      const float value = load<float>(tensor.bytes.data() + index * 4);
      if (std::isnan(value)) return "NaN";
      if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
      return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
    }
    default: {
      const double value = number_at(tensor, index);
      if (std::isnan(value)) return "NaN";
      if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
      std::string text;
      base::append_double(text, value);
      return text;
    }
  }
}

// IEEE 754 binary16, round to nearest even.
uint16_t to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const int32_t exponent = static_cast<int32_t>((bits >> 23) & 0xff) - 127 + 15;
  uint32_t mantissa = bits & 0x7fffff;
  if (((bits >> 23) & 0xff) == 0xff)
    return static_cast<uint16_t>(sign | 0x7c00 | (mantissa ? 0x200 | (mantissa >> 13) : 0));
  if (exponent >= 31) return static_cast<uint16_t>(sign | 0x7c00);
  uint32_t shift = 13;
  uint32_t base_bits = static_cast<uint32_t>(exponent) << 10;
  if (exponent <= 0) {  // subnormal, or too small for one
    if (exponent < -10) return static_cast<uint16_t>(sign);
    mantissa |= 0x800000;
    shift = static_cast<uint32_t>(14 - exponent);
    base_bits = 0;
  }
  const uint32_t rest = mantissa & ((1u << shift) - 1);
  const uint32_t half = 1u << (shift - 1);
  uint32_t result = base_bits + (mantissa >> shift);
  if (rest > half || (rest == half && (result & 1))) ++result;  // may carry into the exponent: that is right
  return static_cast<uint16_t>(sign | result);
}

float from_half(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = (bits >> 10) & 31;
  const uint32_t mantissa = bits & 0x3ff;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000 | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

uint16_t to_bfloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>((bits >> 16) | 0x40);  // NaN stays quiet NaN
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float from_bfloat(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

}  // namespace serve
