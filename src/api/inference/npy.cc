#include "api/inference/npy.h"

#include <array>
#include <charconv>
#include <cstring>
#include <optional>

namespace api::inference {
namespace {

using serve::DataType;
using serve::Tensor;

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kHeaderBytes = 4096;  // of a file's header; numpy's own are below 128

struct Word {
  std::string_view descr;  // without its byte order
  DataType type;
};
constexpr std::array<Word, 12> kWords = {{{"b1", DataType::kBool},
                                          {"i1", DataType::kInt8},
                                          {"i2", DataType::kInt16},
                                          {"i4", DataType::kInt32},
                                          {"i8", DataType::kInt64},
                                          {"u1", DataType::kUint8},
                                          {"u2", DataType::kUint16},
                                          {"u4", DataType::kUint32},
                                          {"u8", DataType::kUint64},
                                          {"f2", DataType::kFp16},
                                          {"f4", DataType::kFp32},
                                          {"f8", DataType::kFp64}}};

std::unexpected<base::Error> broken(std::string_view what) {
  return base::invalid("the body is not a .npy file: " + std::string(what));
}

// The value behind 'key': in the header, which is a Python dict of a fixed form.
std::string_view value_of(std::string_view header, std::string_view key) {
  const size_t at = header.find("'" + std::string(key) + "':");
  if (at == header.npos) return {};
  header.remove_prefix(at + key.size() + 3);
  while (header.starts_with(' ')) header.remove_prefix(1);
  return header;
}

base::Result<DataType> read_type(std::string_view header) {
  std::string_view text = value_of(header, "descr");
  if (!text.starts_with('\'')) return broken("'descr' is no simple type");
  text.remove_prefix(1);
  text = text.substr(0, text.find('\''));
  std::string_view bare = text;
  if (!bare.empty() && (bare.front() == '<' || bare.front() == '|')) bare.remove_prefix(1);
  for (const Word& word : kWords) {
    if (bare == word.descr) return word.type;
  }
  return base::invalid("the array's type is '" + std::string(text.substr(0, 20)) +
                       "'; allowed are little-endian numbers and booleans: <f4, <f8, <i8, |b1 and their like");
}

base::Result<std::vector<int64_t>> read_shape(std::string_view header) {
  std::string_view text = value_of(header, "shape");
  const size_t close = text.find(')');
  if (!text.starts_with('(') || close == text.npos) return broken("'shape' is no tuple");
  text = text.substr(1, close - 1);
  std::vector<int64_t> shape;
  while (!text.empty()) {
    if (text.front() == ' ' || text.front() == ',') {
      text.remove_prefix(1);
      continue;
    }
    int64_t dim = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), dim);
    if (error != std::errc()) return broken("'shape' holds something that is no number");
    if (shape.size() == serve::kMaxRank)
      return base::invalid("the array has more than " + std::to_string(serve::kMaxRank) + " dimensions");
    shape.push_back(dim);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
  }
  return shape;
}

}  // namespace

base::Result<Tensor> parse_npy(std::string_view bytes, const serve::TensorInfo& info) {
  if (!bytes.starts_with(kMagic) || bytes.size() < 10) return broken("it does not begin with NumPy's mark");
  const int version = static_cast<unsigned char>(bytes[6]);
  if (version != 1 && version != 2) return broken("its version is " + std::to_string(version) + "; allowed: 1 and 2");
  const size_t width = version == 1 ? 2 : 4;
  if (bytes.size() < 8 + width) return broken("its header is cut off");
  uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, width);
  if (length > kHeaderBytes || length > bytes.size() - 8 - width) return broken("its header is cut off or too long");
  const std::string_view header = bytes.substr(8 + width, length);
  bytes.remove_prefix(8 + width + length);
  if (!value_of(header, "fortran_order").starts_with("False"))
    return base::invalid("the array lies column by column in memory (fortran_order); send it row by row");
  TRY_SET(const DataType type, read_type(header));
  Tensor tensor{.name = info.name, .type = type};
  TRY_SET(tensor.shape, read_shape(header));
  TRY_SET(const size_t count, serve::element_count(info.name, tensor.shape));
  if (bytes.size() != count * serve::byte_size(type)) {
    return base::invalid("an array of shape " + serve::shape_text(tensor.shape) + " needs " +
                         std::to_string(count * serve::byte_size(type)) + " bytes, found " +
                         std::to_string(bytes.size()));
  }
  tensor.bytes = bytes;
  if (type == DataType::kBool) {
    for (char& flag : tensor.bytes) flag = flag != 0;
  }
  if (type == info.type) return tensor;
  Tensor converted{.name = info.name, .type = info.type, .shape = tensor.shape};
  if (info.type == DataType::kBytes)
    return base::invalid("input '" + info.name + "' takes text; .npy carries numbers here");
  converted.bytes.reserve(count * serve::byte_size(info.type));
  for (size_t i = 0; i < count; ++i) {
    if (!serve::append_number(converted, serve::number_at(tensor, i))) {
      return base::invalid("element " + std::to_string(i) + ": " + serve::text_at(tensor, i) +
                           " is not a value of type " + std::string(serve::name(info.type)));
    }
  }
  return converted;
}

base::Result<void> append_npy(std::string& out, const Tensor& tensor) {
  std::string_view word;
  for (const Word& known : kWords) {
    if (known.type == tensor.type) word = known.descr;
  }
  if (word.empty())
    return base::invalid("the answer is " + std::string(serve::name(tensor.type)) +
                         ", which .npy cannot carry; accept application/json");
  std::string header = "{'descr': '";
  header += serve::byte_size(tensor.type) == 1 ? '|' : '<';
  header.append(word).append("', 'fortran_order': False, 'shape': (");
  for (const int64_t dim : tensor.shape) header += std::to_string(dim) + ", ";
  if (tensor.shape.size() > 1) header.resize(header.size() - 2);
  header += "), }";
  constexpr size_t kAlign = 64, kPrefix = 10;
  header.append(kAlign - 1 - (kPrefix + header.size()) % kAlign, ' ').push_back('\n');
  const auto length = static_cast<uint16_t>(header.size());
  out.append(kMagic).append("\x01\x00", 2);
  out.append(reinterpret_cast<const char*>(&length), sizeof length).append(header).append(tensor.bytes);
  return {};
}

}  // namespace api::inference
