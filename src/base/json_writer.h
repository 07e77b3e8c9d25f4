// JsonWriter: appends JSON to a string without building a tree, for hot answers. Commas are placed by the writer.
// Doubles are written shortest-round-trip; NaN and infinities as the strings "NaN", "Infinity", "-Infinity" (MLflow's
// and our own convention). Text must be valid UTF-8 (validated at the door). Thread: one at a time.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace base {

class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);
  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  JsonWriter& value(double number);
  JsonWriter& value(bool flag);
  template <std::integral I>
    requires(!std::same_as<I, bool>)
  JsonWriter& value(I number) {
    return integer(static_cast<int64_t>(number));
  }
  JsonWriter& null();
  JsonWriter& raw(std::string_view json);  // one complete, valid value

  template <class T>
  JsonWriter& field(std::string_view name, const T& v) {
    key(name);
    return value(v);
  }

 private:
  JsonWriter& open(char c);
  JsonWriter& close(char c);
  JsonWriter& integer(int64_t number);
  void separate();

  std::string& out_;
  bool first_ = true;  // no comma before the next element
  bool after_key_ = false;
};

void append_json_string(std::string& out, std::string_view text);  // with quotes and escapes
void append_double(std::string& out, double number);               // shortest round trip; finite only

}  // namespace base
