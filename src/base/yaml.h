// YAML behind one wrapper: a plain tree with source lines, caps on size, depth and alias expansion, and the errors
// that a person needs (file, line, key, what was found, what is allowed). Duplicate keys and YAML 1.1 booleans
// (yes, no, on, off, y, n: unquoted) are errors here, because YAML 1.2 tools would read them as text.
//
// Thread: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace base::yaml {

enum class Kind : uint8_t { kNull, kScalar, kSequence, kMap };

struct Entry;

struct Node {
  Kind kind = Kind::kNull;
  std::string scalar;   // kScalar: its text, unescaped
  bool quoted = false;  // kScalar: '…', "…", | or >: never a number, boolean or null
  int line = 0;         // 1-based; where the value begins
  int column = 0;
  std::vector<Node> items;     // kSequence
  std::vector<Entry> entries;  // kMap, in file order

  const Node* find(std::string_view key) const;
  bool is_map() const { return kind == Kind::kMap; }
  bool is_sequence() const { return kind == Kind::kSequence; }
  bool is_scalar() const { return kind == Kind::kScalar; }
  bool is_null() const { return kind == Kind::kNull; }

  // Typed readings of an unquoted scalar by the YAML 1.2 core schema; nullopt if it is something else.
  std::optional<bool> as_bool() const;
  std::optional<int64_t> as_int() const;
  std::optional<double> as_double() const;
  std::string describe() const;  // "the number 3", "a list", "the text 'abc'": for error messages
};

struct Entry {
  std::string key;  // keys are scalars
  Node value;
  int line = 0;  // of the key
};

struct Limits {
  size_t bytes = 1 << 20;
  size_t depth = 32;
  size_t nodes = 100'000;  // after alias expansion
  bool refuse_yaml11_booleans = true;
};

// `name` is the file's name in errors: "lathe.yaml:7: …".
Result<Node> parse(std::string_view text, std::string_view name, const Limits& limits = {});

}  // namespace base::yaml
