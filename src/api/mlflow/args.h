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
  void take_body(std::string body);

  std::string text(std::string_view name);            // "" when absent
  std::string required_text(std::string_view name);   // absent or "" is an error
  std::optional<std::string> optional_text(std::string_view name);
  std::optional<int64_t> integer(std::string_view name);
  std::optional<bool> boolean(std::string_view name);
  // An enumeration's value by name or by number, as protobuf's JSON allows; nullopt when absent.
  std::optional<int64_t> choice(std::string_view name, std::span<const std::string_view> names, int64_t first_number);
  std::vector<std::string> texts(std::string_view name);
  bool has(std::string_view name);
  std::string run_id(bool required = true);           // run_id, else run_uuid
  std::string path_param(std::string_view name) { return std::string(request_.param(name)); }
  track::Tags tags(std::string_view name);            // [{key, value}]
  std::vector<const base::json::object*> objects(std::string_view name);

  // Fields of an element of a list; `where` names it in errors: "metrics[3]".
  std::string text_in(const base::json::object& object, std::string_view name, std::string_view where, bool required);
  std::optional<std::string> optional_text_in(const base::json::object& object, std::string_view name,
                                              std::string_view where);
  std::optional<int64_t> integer_in(const base::json::object& object, std::string_view name, std::string_view where);
  double number_in(const base::json::object& object, std::string_view name, std::string_view where);  // required
  bool boolean_in(const base::json::object& object, std::string_view name, std::string_view where, bool otherwise);
  const base::json::object& root();                   // the body as an element

  void fail(base::Error error);
  void missing(std::string_view path);                // "Missing value for required parameter '…'."
  void wrong(std::string_view path, const base::json::value& value);  // "Invalid value … for parameter '…' supplied: …"
  const std::optional<base::Error>& error() const { return error_; }

 private:
  const base::json::value* find(std::string_view name);
  std::optional<std::string> read_text(const base::json::value& value, std::string_view path);
  std::optional<int64_t> read_integer(const base::json::value& value, std::string_view path);

  const net::Request& request_;
  std::string body_;
  base::json::object object_;
  std::optional<base::Error> error_;
};

}  // namespace api::mlflow
