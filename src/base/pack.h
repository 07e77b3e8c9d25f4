// Pack: plain structs as bytes and back, between two ends of Lathe that may be of different builds. Fields are taken in
// their order (Boost.PFR), so a struct is packed by being one; a packed text begins with a hash of its type's shape,
// and what was packed from another shape is refused, not misread.
//
//   std::string bytes = base::pack(runs);            // std::vector<Run>
//   TRY_SET(auto runs, base::unpack<std::vector<Run>>(bytes));
//
// Types: bool, integers, double, enumerations with a known_enum() beside them, std::string, optional, vector, pair,
// map, and aggregates of these. Unpacking takes bytes from outside: lengths are checked against what is left, so it
// takes no more memory than a small multiple of its input. Errors: kInvalid. Heavy: for .cc files.
#pragma once

#include <boost/pfr/core.hpp>
#include <boost/pfr/tuple_size.hpp>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/result.h"

namespace base {

namespace packing {

template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;
template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;
template <class T>
inline constexpr bool kIsMap = false;
template <class K, class V, class C>
inline constexpr bool kIsMap<std::map<K, V, C>> = true;
template <class T>
inline constexpr bool kIsPair = false;
template <class A, class B>
inline constexpr bool kIsPair<std::pair<A, B>> = true;

template <class T>
void shape(std::string& out) {
  if constexpr (std::is_same_v<T, bool>) {
    out += 'b';
  } else if constexpr (std::is_enum_v<T>) {
    out += 'e';
  } else if constexpr (std::is_integral_v<T>) {
    out += 'i';
  } else if constexpr (std::is_same_v<T, double>) {
    out += 'd';
  } else if constexpr (std::is_same_v<T, std::string>) {
    out += 's';
  } else if constexpr (kIsOptional<T>) {
    out += '?';
    shape<typename T::value_type>(out);
  } else if constexpr (kIsVector<T>) {
    out += '*';
    shape<typename T::value_type>(out);
  } else if constexpr (kIsPair<T>) {
    out += '(';
    shape<std::remove_cv_t<typename T::first_type>>(out);
    shape<typename T::second_type>(out);
    out += ')';
  } else if constexpr (kIsMap<T>) {
    out += '%';
    shape<typename T::key_type>(out);
    shape<typename T::mapped_type>(out);
  } else {
    out += '{';
    [&]<size_t... I>(std::index_sequence<I...>) {
      (shape<boost::pfr::tuple_element_t<I, T>>(out), ...);
    }(std::make_index_sequence<boost::pfr::tuple_size_v<T>>());
    out += '}';
  }
}

template <class T>
uint64_t shape_hash() {
  static const uint64_t hash = [] {
    std::string text;
    shape<T>(text);
    uint64_t h = 14695981039346656037ULL;  // FNV-1a
    for (const char c : text) h = (h ^ static_cast<uint8_t>(c)) * 1099511628211ULL;
    return h;
  }();
  return hash;
}

inline void put_number(std::string& out, uint64_t n) {  // LEB128
  while (n >= 0x80) {
    out += static_cast<char>(n | 0x80);
    n >>= 7;
  }
  out += static_cast<char>(n);
}

template <class T>
void put(std::string& out, const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    out += value ? '\1' : '\0';
  } else if constexpr (std::is_enum_v<T>) {
    put(out, static_cast<int64_t>(value));
  } else if constexpr (std::is_integral_v<T>) {
    const auto n = static_cast<int64_t>(value);  // zigzag
    put_number(out, (static_cast<uint64_t>(n) << 1) ^ static_cast<uint64_t>(n >> 63));
  } else if constexpr (std::is_same_v<T, double>) {
    char bytes[sizeof(double)];
    std::memcpy(bytes, &value, sizeof(double));
    out.append(bytes, sizeof(double));
  } else if constexpr (std::is_same_v<T, std::string>) {
    put_number(out, value.size());
    out += value;
  } else if constexpr (kIsOptional<T>) {
    put(out, value.has_value());
    if (value) put(out, *value);
  } else if constexpr (kIsPair<T>) {
    put(out, value.first);
    put(out, value.second);
  } else if constexpr (kIsVector<T> || kIsMap<T>) {
    put_number(out, value.size());
    for (const auto& each : value) put(out, each);
  } else {
    boost::pfr::for_each_field(value, [&](const auto& field) { put(out, field); });
  }
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  template <class T>
  void take(T& into) {
    if (!good_) return;
    if constexpr (std::is_same_v<T, bool>) {
      const std::string_view byte = bytes(1);
      good_ = good_ && (byte[0] == '\0' || byte[0] == '\1');
      into = good_ && byte[0] == '\1';
    } else if constexpr (std::is_enum_v<T>) {
      int64_t n = 0;
      take(n);
      into = static_cast<T>(n);
      good_ = good_ && static_cast<int64_t>(into) == n && known_enum(into);
    } else if constexpr (std::is_integral_v<T>) {
      const uint64_t n = number();
      const auto whole = static_cast<int64_t>((n >> 1) ^ (~(n & 1) + 1));
      into = static_cast<T>(whole);
      good_ = good_ && static_cast<int64_t>(into) == whole;
    } else if constexpr (std::is_same_v<T, double>) {
      if (const std::string_view from = bytes(sizeof(double)); good_) std::memcpy(&into, from.data(), sizeof(double));
    } else if constexpr (std::is_same_v<T, std::string>) {
      into = bytes(number());
    } else if constexpr (kIsOptional<T>) {
      bool there = false;
      take(there);
      if (good_ && there) take(into.emplace());
    } else if constexpr (kIsPair<T>) {
      take(into.first);
      take(into.second);
    } else if constexpr (kIsVector<T>) {
      for (uint64_t left = count(); good_ && left > 0; --left) take(into.emplace_back());
    } else if constexpr (kIsMap<T>) {
      for (uint64_t left = count(); good_ && left > 0; --left) {
        std::pair<typename T::key_type, typename T::mapped_type> entry;
        take(entry);
        if (good_) into.insert(std::move(entry));
      }
    } else {
      boost::pfr::for_each_field(into, [&](auto& field) { take(field); });
    }
  }
  bool ended() const { return good_ && rest_.empty(); }

 private:
  std::string_view bytes(uint64_t length) {
    if (!good_ || length > rest_.size()) {
      good_ = false;
      return {};
    }
    const std::string_view out = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return out;
  }
  uint64_t number() {
    uint64_t out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const std::string_view byte = bytes(1);
      if (!good_) return 0;
      const auto bits = static_cast<uint8_t>(byte[0]);
      if (shift == 63 && bits > 1) break;
      out |= static_cast<uint64_t>(bits & 0x7f) << shift;
      if (bits < 0x80) return out;
    }
    good_ = false;
    return 0;
  }
  uint64_t count() {  // each element takes a byte at least
    const uint64_t n = number();
    if (n > rest_.size()) good_ = false;
    return n;
  }

  std::string_view rest_;
  bool good_ = true;
};

}  // namespace packing

template <class T>
std::string pack(const T& value) {
  std::string out;
  const uint64_t hash = packing::shape_hash<T>();
  for (int i = 0; i < 8; ++i) out += static_cast<char>(hash >> (8 * i));
  packing::put(out, value);
  return out;
}

template <class T>
Result<T> unpack(std::string_view bytes) {
  uint64_t hash = 0;
  if (bytes.size() < sizeof(hash)) return invalid("the packed bytes are cut short");
  for (int i = 0; i < 8; ++i) hash |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  if (hash != packing::shape_hash<T>())
    return invalid("the packed bytes are of another version of Lathe: use the same version on both sides");
  T out{};
  packing::Reader reader(bytes.substr(sizeof(hash)));
  reader.take(out);
  if (!reader.ended()) return invalid("the packed bytes are damaged");
  return out;
}

}  // namespace base
