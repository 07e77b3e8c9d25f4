#include "serve/onnx_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <system_error>

namespace serve {
namespace {

constexpr int kMaxDepth = 64;  // nested subgraphs (If, Loop, functions)

// One protobuf message as a sequence of fields.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : rest_(bytes) {}

  bool next() {
    if (rest_.empty() || broken_) return false;
    uint64_t tag = 0;
    if (!varint(tag)) return false;
    number = static_cast<uint32_t>(tag >> 3);
    wire = static_cast<int>(tag & 7);
    switch (wire) {
      case 0: return varint(value);
      case 1: return take(8);
      case 2: {
        uint64_t size = 0;
        return varint(size) && take(size);
      }
      case 5: return take(4);
      default: return fail();
    }
  }
  bool broken() const { return broken_; }

  uint32_t number = 0;
  int wire = 0;
  uint64_t value = 0;      // wire type 0
  std::string_view bytes;  // the others

  // The next varint of a packed list.
  bool varint(uint64_t& out) {
    out = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      out |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return fail();
  }
  bool empty() const { return rest_.empty(); }

 private:
  bool take(uint64_t size) {
    if (size > rest_.size()) return fail();
    bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  bool fail() {
    broken_ = true;
    return false;
  }
  std::string_view rest_;
  bool broken_ = false;
};

// Field numbers are those of onnx.proto3.
class Scanner {
 public:
  explicit Scanner(OnnxFacts& facts) : facts_(facts) {}

  bool model(std::string_view bytes) {
    Fields field(bytes);
    while (field.next()) {
      if (field.wire != 2) continue;
      if (field.number == 7 && !graph(field.bytes, 1)) return false;
      if (field.number == 20 && !training(field.bytes)) return false;
      if (field.number == 25 && !function(field.bytes)) return false;
    }
    return !field.broken();
  }

 private:
  bool training(std::string_view bytes) {  // initialization = 1, algorithm = 2
    Fields field(bytes);
    while (field.next()) {
      if (field.wire == 2 && (field.number == 1 || field.number == 2) && !graph(field.bytes, 1)) return false;
    }
    return !field.broken();
  }

  bool function(std::string_view bytes) {
    Fields field(bytes);
    while (field.next()) {
      if (field.wire == 2 && field.number == 7 && !node(field.bytes, 1)) return false;
      if (field.wire == 2 && field.number == 11 && !attribute(field.bytes, 1, nullptr)) return false;
    }
    return !field.broken();
  }

  bool graph(std::string_view bytes, int depth) {
    if (depth > kMaxDepth) return false;
    Fields field(bytes);
    while (field.next()) {
      if (field.wire != 2) continue;
      if (field.number == 1 && !node(field.bytes, depth)) return false;
      if (field.number == 5 && !tensor(field.bytes)) return false;
      if (field.number == 15 && !sparse_tensor(field.bytes)) return false;
    }
    return !field.broken();
  }

  bool node(std::string_view bytes, int depth) {
    std::vector<std::string> classes;
    Fields field(bytes);
    while (field.next()) {
      if (field.wire == 2 && field.number == 5 && !attribute(field.bytes, depth, &classes)) return false;
    }
    // Nodes come in topological order, so the last one that names classes is nearest to the answer.
    if (!classes.empty()) facts_.classes = std::move(classes);
    return !field.broken();
  }

  bool attribute(std::string_view bytes, int depth, std::vector<std::string>* classes) {
    std::string_view name;
    std::vector<std::string> values;
    Fields field(bytes);
    while (field.next()) {
      if (field.number == 8 && field.wire == 0) values.push_back(std::to_string(static_cast<int64_t>(field.value)));
      if (field.wire != 2) continue;
      switch (field.number) {
        case 1: name = field.bytes; break;
        case 5:
        case 10:
          if (!tensor(field.bytes)) return false;
          break;
        case 6:
        case 11:
          if (!graph(field.bytes, depth + 1)) return false;
          break;
        case 8:
          if (name.starts_with("classlabels") && !packed_integers(field.bytes, values)) return false;
          break;
        case 9: values.emplace_back(field.bytes); break;
        case 22:
        case 23:
          if (!sparse_tensor(field.bytes)) return false;
          break;
        default: break;
      }
    }
    if (classes && name.starts_with("classlabels") && !values.empty()) *classes = std::move(values);
    return !field.broken();
  }

  static bool packed_integers(std::string_view bytes, std::vector<std::string>& out) {
    Fields list(bytes);
    uint64_t value = 0;
    while (!list.empty()) {
      if (!list.varint(value)) return false;
      out.push_back(std::to_string(static_cast<int64_t>(value)));
    }
    return true;
  }

  bool sparse_tensor(std::string_view bytes) {  // values = 1, indices = 2
    Fields field(bytes);
    while (field.next()) {
      if (field.wire == 2 && (field.number == 1 || field.number == 2) && !tensor(field.bytes)) return false;
    }
    return !field.broken();
  }

  bool tensor(std::string_view bytes) {
    Fields field(bytes);
    while (field.next()) {
      if (field.number != 13 || field.wire != 2) continue;  // external_data: {key = 1, value = 2}
      std::string_view key, value;
      Fields entry(field.bytes);
      while (entry.next()) {
        if (entry.wire == 2 && entry.number == 1) key = entry.bytes;
        if (entry.wire == 2 && entry.number == 2) value = entry.bytes;
      }
      if (entry.broken()) return false;
      if (key == "location" && std::ranges::find(facts_.external_files, value) == facts_.external_files.end()) {
        facts_.external_files.emplace_back(value);
      }
    }
    return !field.broken();
  }

  OnnxFacts& facts_;
};

base::Result<void> check_location(const base::Path& folder, const std::string& location) {
  const auto refuse = [&](const char* why) {
    return base::invalid("external tensor file '" + location + "' " + why +
                         "; the data of an ONNX model must lie in the model's own folder");
  };
  if (!base::is_safe_relative_path(location)) return refuse("is not a plain relative path");
  std::error_code error;
  const base::Path inside = std::filesystem::canonical(folder, error);
  if (error) return base::not_found("model folder " + folder.string() + " cannot be opened: " + error.message());
  const base::Path target = std::filesystem::canonical(folder / location, error);
  if (error) return refuse("does not exist");
  const auto [end, ignored] = std::mismatch(inside.begin(), inside.end(), target.begin(), target.end());
  if (end != inside.end()) return refuse("leads out of the folder through a link");
  if (!std::filesystem::is_regular_file(target, error)) return refuse("is not a file");
  return {};
}

}  // namespace

base::Result<OnnxFacts> scan_onnx(std::string_view bytes) {
  OnnxFacts facts;
  if (bytes.empty() || !Scanner(facts).model(bytes)) return base::invalid("this is not an ONNX file, or it is cut off");
  return facts;
}

base::Result<OnnxFacts> inspect_onnx(const base::Path& file) {
  TRY_SET(const base::Fd fd, base::open_file(file, O_RDONLY));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return base::errno_error(file.string(), errno);
  if (!S_ISREG(info.st_mode) || info.st_size == 0)
    return base::invalid(file.filename().string() + " is empty or not a file");
  const auto size = static_cast<size_t>(info.st_size);
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (mapped == MAP_FAILED) return base::errno_error("mmap of " + file.string(), errno);
  auto facts = scan_onnx({static_cast<const char*>(mapped), size});
  ::munmap(mapped, size);
  if (!facts) return std::unexpected(std::move(facts).error().within(file.filename().string()));
  for (const std::string& location : facts->external_files) TRY(check_location(file.parent_path(), location));
  return facts;
}

}  // namespace serve
