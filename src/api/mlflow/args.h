// Args: the parameters of one call, from a JSON body or a query string, read with MLflow's rules: unknown fields are
// ignored, null is absent, numbers may be text, snake_case or camelCase, run_uuid stands for run_id, a body may be JSON
// encoded twice. Errors are sticky: a reader answers a harmless value after one, and the door looks at error() once.
//
// Thread: one call's. Ownership: views and arrays point into the Args.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "net/http.h"
#include "track/types.h"

namespace api::mlflow {

class Args {
 public:
  explicit Args(const net::Request& request) : request_(request) {}
  Args(const Args&) = delete;

  // Whether the call's parameters are in its body.
  static bool in_body(const net::Request& request) { return request.method != net::Method::kGet; }
  void take_body(std::string_view body);

  std::string text(std::string_view name);           // "" when absent
  std::string required_text(std::string_view name);  // absent or "" is an error
  std::optional<std::string> optional_text(std::string_view name);
  std::optional<int64_t> integer(std::string_view name);
  std::optional<bool> boolean(std::string_view name);
  // An enumeration's value by name or by number, as protobuf's JSON allows; nullopt when absent.
  std::optional<int64_t> choice(std::string_view name, std::span<const std::string_view> names, int64_t first_number);
  std::vector<std::string> texts(std::string_view name);
  bool has(std::string_view name);
  std::string run_id(bool required = true);  // run_id, else run_uuid
  std::string_view header(std::string_view lower_case_name) const { return request_.header(lower_case_name); }
  std::string path_param(std::string_view name) { return std::string(request_.param(name)); }
  track::Tags tags(std::string_view name);         // [{key, value}]
  track::Tags unique_tags(std::string_view name);  // a key twice is an error
  std::vector<const base::json::object*> objects(std::string_view name);

  // Fields of an element of a list; `where` names it in errors: "metrics[3]".
  std::string text_in(const base::json::object& object, std::string_view name, std::string_view where, bool required);
  std::optional<std::string> optional_text_in(const base::json::object& object, std::string_view name,
                                              std::string_view where);
  std::optional<int64_t> integer_in(const base::json::object& object, std::string_view name, std::string_view where);
  double number_in(const base::json::object& object, std::string_view name, std::string_view where);  // required
  bool boolean_in(const base::json::object& object, std::string_view name, std::string_view where, bool otherwise);
  const base::json::object& root();  // the body as an element
  // Parts of an element; null when absent. A map is an object of texts: {"key": "value"}.
  const base::json::value* value_in(const base::json::object& object, std::string_view name);
  const base::json::object* object_in(const base::json::object& object, std::string_view name, std::string_view where);
  std::vector<const base::json::object*> objects_in(const base::json::object& object, std::string_view name,
                                                    std::string_view where);
  std::vector<std::string> texts_in(const base::json::object& object, std::string_view name, std::string_view where);
  track::Tags map_in(const base::json::object& object, std::string_view name, std::string_view where);
  // protobuf's JSON forms: "2026-11-23T10:31:28.049Z" as milliseconds since 1970, "1.5s" as milliseconds.
  std::optional<int64_t> time_ms_in(const base::json::object& object, std::string_view name, std::string_view where);
  std::optional<int64_t> duration_ms_in(const base::json::object& object, std::string_view name,
                                        std::string_view where);
  std::optional<int64_t> choice_in(const base::json::object& object, std::string_view name, std::string_view where,
                                   std::span<const std::string_view> names, int64_t first_number);

  void fail(base::Error error);
  void missing(std::string_view path);                                // "Missing value for required parameter '…'."
  void wrong(std::string_view path, const base::json::value& value);  // "Invalid value … for parameter '…' supplied: …"
  const std::optional<base::Error>& error() const { return error_; }

 private:
  const base::json::value* find(std::string_view name);
  // A parameter's place, "metrics[3]" and "key"; put together only for an error.
  struct Place {
    std::string_view where, name;
    std::string path() const;
  };
  std::optional<std::string> read_text(const base::json::value& value, Place place);
  std::optional<int64_t> read_integer(const base::json::value& value, Place place);

  const net::Request& request_;
  unsigned char first_memory_[1024];
  base::json::monotonic_resource memory_{first_memory_, sizeof(first_memory_)};  // of the body's values
  std::optional<base::json::value> body_;
  std::optional<base::Error> error_;
};

}  // namespace api::mlflow
