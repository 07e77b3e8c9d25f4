#include "serve/python_wire.h"

#include <cstring>

namespace serve::python {
namespace {

constexpr size_t kTensorBytes = 16;  // type, rank, bytes of the name, 0, bytes of the data
constexpr auto kTypes = static_cast<uint8_t>(DataType::kBytes);

size_t padding(size_t bytes) { return (8 - bytes % 8) % 8; }

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void pad(std::string& out) { out.append(padding(out.size()), '\0'); }

size_t data_bytes(const Tensor& tensor) {
  if (tensor.type != DataType::kBytes) return tensor.bytes.size();
  size_t total = 0;
  for (const std::string& text : tensor.strings) total += 4 + text.size();
  return total;
}

// Reads forward and never past the end.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}
  template <class T>
  bool get(T& value) {
    if (left_.size() < sizeof value) return false;
    std::memcpy(&value, left_.data(), sizeof value);
    left_.remove_prefix(sizeof value);
    return true;
  }
  bool take(size_t bytes, std::string_view& out) {
    if (left_.size() < bytes) return false;
    out = left_.substr(0, bytes);
    left_.remove_prefix(bytes);
    return true;
  }
  bool take_padded(size_t bytes, std::string_view& out) {
    std::string_view skipped;
    return take(bytes, out) && take(padding(bytes), skipped);
  }
  bool at_end() const { return left_.empty(); }

 private:
  std::string_view left_;
};

std::unexpected<base::Error> broken(const char* what) {
  return base::internal(std::string("the Python worker sent a broken frame: ") + what);
}

base::Result<void> read_texts(std::string_view data, size_t count, Tensor& tensor) {
  Reader reader(data);
  if (count > data.size() / 4) return broken("fewer texts than elements");
  tensor.strings.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    uint32_t bytes = 0;
    std::string_view text;
    if (!reader.get(bytes) || !reader.take(bytes, text)) return broken("a text is cut off");
    tensor.strings.emplace_back(text);
  }
  return reader.at_end() ? base::Result<void>() : broken("more texts than elements");
}

}  // namespace

std::string encode(Kind kind, std::string_view text, std::span<const Tensor> tensors) {
  size_t total = kHeadBytes + text.size() + 8;
  for (const Tensor& tensor : tensors)
    total += kTensorBytes + tensor.name.size() + 8 + tensor.shape.size() * 8 + data_bytes(tensor) + 8;
  std::string out;
  out.reserve(total);
  put(out, uint64_t{0});
  put(out, static_cast<uint16_t>(kind));
  put(out, static_cast<uint16_t>(tensors.size()));
  put(out, static_cast<uint32_t>(text.size()));
  out.append(text);
  pad(out);
  for (const Tensor& tensor : tensors) {
    put(out, static_cast<uint8_t>(tensor.type));
    put(out, static_cast<uint8_t>(tensor.shape.size()));
    put(out, static_cast<uint16_t>(tensor.name.size()));
    put(out, uint32_t{0});
    put(out, static_cast<uint64_t>(data_bytes(tensor)));
    for (int64_t dim : tensor.shape) put(out, dim);
    out.append(tensor.name);
    pad(out);
  }
  for (const Tensor& tensor : tensors) {
    if (tensor.type == DataType::kBytes) {
      for (const std::string& element : tensor.strings) {
        put(out, static_cast<uint32_t>(element.size()));
        out.append(element);
      }
    } else {
      out.append(tensor.bytes);
    }
    pad(out);
  }
  const uint64_t body = out.size() - kHeadBytes;
  std::memcpy(out.data(), &body, sizeof body);
  return out;
}

base::Result<Head> decode_head(std::string_view bytes) {
  Reader reader(bytes);
  Head head;
  uint16_t kind = 0;
  if (!reader.get(head.bytes) || !reader.get(kind) || !reader.get(head.tensors) || !reader.get(head.text_bytes))
    return broken("its head is cut off");
  if (kind < 1 || kind > 5) return broken("its kind is unknown");
  if (head.bytes > kMaxFrame) return broken("it is too large");
  if (head.tensors > kMaxTensors) return broken("it has too many tensors");
  head.kind = static_cast<Kind>(kind);
  return head;
}

base::Result<Frame> decode_body(const Head& head, std::string_view body) {
  Reader reader(body);
  Frame frame{.kind = head.kind};
  std::string_view text;
  if (!reader.take_padded(head.text_bytes, text)) return broken("its text is cut off");
  frame.text = text;
  std::vector<uint64_t> sizes;
  for (size_t i = 0; i < head.tensors; ++i) {
    Tensor tensor;
    uint8_t type = 0, rank = 0;
    uint16_t name_bytes = 0;
    uint32_t zero = 0;
    uint64_t bytes = 0;
    if (!reader.get(type) || !reader.get(rank) || !reader.get(name_bytes) || !reader.get(zero) || !reader.get(bytes))
      return broken("a tensor's head is cut off");
    if (type > kTypes || rank > kMaxRank) return broken("a tensor of unknown type or of too many dimensions");
    tensor.type = static_cast<DataType>(type);
    tensor.shape.resize(rank);
    for (int64_t& dim : tensor.shape) {
      if (!reader.get(dim)) return broken("a tensor's shape is cut off");
    }
    std::string_view name;
    if (!reader.take_padded(name_bytes, name)) return broken("a tensor's name is cut off");
    tensor.name = name;
    sizes.push_back(bytes);
    frame.tensors.push_back(std::move(tensor));
  }
  for (size_t i = 0; i < frame.tensors.size(); ++i) {
    Tensor& tensor = frame.tensors[i];
    TRY_SET(const size_t count, element_count(tensor.name, tensor.shape));
    std::string_view data;
    if (!reader.take_padded(sizes[i], data)) return broken("a tensor's data is cut off");
    if (tensor.type == DataType::kBytes) {
      TRY(read_texts(data, count, tensor));
    } else if (data.size() != count * byte_size(tensor.type)) {
      return broken("a tensor's data does not fit its shape");
    } else {
      tensor.bytes = data;
    }
  }
  if (!reader.at_end()) return broken("bytes are left behind its tensors");
  return frame;
}

}  // namespace serve::python
