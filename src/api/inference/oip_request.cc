#include "api/inference/oip_request.h"

#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "api/inference/outputs.h"
#include "net/http.h"

namespace api::inference {
namespace {

namespace od = simdjson::ondemand;
using serve::DataType;
using serve::Tensor;

constexpr size_t kMaxTensors = 1024;  // inputs, or outputs asked for, of one request
constexpr int64_t kMaxClasses = 10'000;

base::Error broken(simdjson::error_code code) {
  return {base::Code::kInvalid, std::string("the body is not valid JSON: ") + simdjson::error_message(code)};
}
// A value of another type than wanted and broken JSON look alike to the caller of simdjson: the code tells them apart.
base::Error wrong(simdjson::error_code code, const char* what, const char* wanted) {
  if (code == simdjson::INCORRECT_TYPE || code == simdjson::NUMBER_OUT_OF_RANGE) {
    return {base::Code::kInvalid, std::string(what) + " must be " + wanted};
  }
  return broken(code);
}

// SIMD_TRY(call, error): returns the error unless the call succeeded.
#define SIMD_TRY(call, error_value)                                            \
  if (const simdjson::error_code simd_code = (call); simd_code) [[unlikely]] { \
    const simdjson::error_code code = simd_code;                               \
    return std::unexpected(error_value);                                       \
  }

// Valid as long as the parser keeps the document.
base::Result<std::string_view> read_text(od::value value, const char* what) {
  std::string_view text;
  SIMD_TRY(value.get_string().get(text), wrong(code, what, "text"));
  return text;
}

struct InputParts {
  Tensor tensor;
  bool has_name = false, has_shape = false, has_type = false;
  std::optional<std::string> late_data;  // `data` that came before `shape` and `datatype`
  bool has_data = false;
  std::optional<size_t> binary_bytes;
  SharedPart shared;
};

// Where a tensor lies, as its parameters tell one by one.
struct PartParameters {
  std::optional<std::string> region;
  std::optional<uint64_t> offset, bytes;

  // True: it was one of them.
  base::Result<bool> read(std::string_view key, od::value value) {
    if (!key.starts_with("shared_memory_")) return false;
    if (key == "shared_memory_region") {
      std::string_view text;
      SIMD_TRY(value.get_string().get(text), wrong(code, "'shared_memory_region'", "text"));
      region = text;
      return true;
    }
    const bool is_offset = key == "shared_memory_offset";
    if (!is_offset && key != "shared_memory_byte_size") return false;
    uint64_t number = 0;
    SIMD_TRY(value.get_uint64().get(number),
             wrong(code, is_offset ? "'shared_memory_offset'" : "'shared_memory_byte_size'", "a whole number"));
    (is_offset ? offset : bytes) = number;
    return true;
  }
};

// The elements of `data`, flat or nested by the shape.
class DataReader {
 public:
  explicit DataReader(Tensor& tensor) : tensor_(tensor) {}

  base::Result<void> read(od::array data, size_t count, size_t body_bytes) {
    wanted_ = count;
    // An element takes at least two bytes of JSON: a shape that promises more reserves nothing.
    if (tensor_.type != DataType::kBytes && count <= body_bytes)
      tensor_.bytes.reserve(count * serve::byte_size(tensor_.type));
    TRY(level(data, 0));
    if (found_ != count) {
      return base::invalid("input '" + tensor_.name + "' of shape " + serve::shape_text(tensor_.shape) + " needs " +
                           std::to_string(count) + " elements, found " + std::to_string(found_));
    }
    return {};
  }

 private:
  base::Result<void> level(od::array list, size_t depth) {
    size_t items = 0;
    bool lists = false, values = false;
    for (auto item : list) {
      od::value value;
      SIMD_TRY(item.get(value), broken(code));
      od::json_type type;
      SIMD_TRY(value.type().get(type), broken(code));
      ++items;
      if (type == od::json_type::array) {
        lists = true;
        if (depth + 1 >= std::max<size_t>(tensor_.shape.size(), 1)) return ragged();
        od::array inner;
        SIMD_TRY(value.get_array().get(inner), broken(code));
        TRY(level(inner, depth + 1));
      } else {
        values = true;
        if (depth > 0 && depth + 1 != tensor_.shape.size()) return ragged();
        if (found_ == wanted_) {
          return base::invalid("input '" + tensor_.name + "' of shape " + serve::shape_text(tensor_.shape) + " needs " +
                               std::to_string(wanted_) + " elements, found more");
        }
        TRY(element(value, type));
        ++found_;
      }
    }
    if (lists && values) return ragged();
    if ((depth > 0 || lists) && static_cast<int64_t>(items) != tensor_.shape[depth]) return ragged();
    return {};
  }

  std::unexpected<base::Error> ragged() const {
    return base::invalid("the lists in 'data' of input '" + tensor_.name + "' do not fit its shape " +
                         serve::shape_text(tensor_.shape));
  }
  std::unexpected<base::Error> misfit(std::string_view found) const {
    return base::invalid("input '" + tensor_.name + "', element " + std::to_string(found_) + ": " +
                         std::string(found.substr(0, 60)) + " is not a value of type " +
                         std::string(serve::name(tensor_.type)));
  }

  base::Result<void> element(od::value value, od::json_type type) {
    switch (tensor_.type) {
      case DataType::kBytes: {
        if (type != od::json_type::string) return misfit("a value that is not text");
        std::string_view text;
        SIMD_TRY(value.get_string().get(text), broken(code));
        tensor_.strings.emplace_back(text);
        return {};
      }
      case DataType::kBool: {
        bool flag = false;
        if (type != od::json_type::boolean) return misfit("a value that is neither true nor false");
        SIMD_TRY(value.get_bool().get(flag), broken(code));
        tensor_.bytes.push_back(static_cast<char>(flag));
        return {};
      }
      default: break;
    }
    if (type == od::json_type::number) return number(value);
    if (serve::is_floating(tensor_.type)) {
      if (type == od::json_type::null) {
        bool null = false;  // what begins with n may be something else
        SIMD_TRY(value.is_null().get(null), broken(code));
        if (!null) return misfit("a value that is not a number");
        serve::append_number(tensor_, std::numeric_limits<double>::quiet_NaN());  // missing
        return {};
      }
      std::string_view text;
      if (type == od::json_type::string && value.get_string().get(text) == simdjson::SUCCESS) {
        if (text == "NaN") return special(std::numeric_limits<double>::quiet_NaN());
        if (text == "Infinity") return special(std::numeric_limits<double>::infinity());
        if (text == "-Infinity") return special(-std::numeric_limits<double>::infinity());
        return misfit("text");
      }
    }
    return misfit("a value that is not a number");
  }
  base::Result<void> special(double value) {
    serve::append_number(tensor_, value);
    return {};
  }

  base::Result<void> number(od::value value) {
    double real = 0;
    if (tensor_.type == DataType::kFp32 || tensor_.type == DataType::kFp64) {
      SIMD_TRY(value.get_double().get(real), broken(code));
      if (!serve::append_number(tensor_, real)) return misfit("a number out of range");
      return {};
    }
    // 64-bit integers do not all fit a double.
    if (int64_t whole = 0; value.get_int64().get(whole) == simdjson::SUCCESS) {
      if (tensor_.type == DataType::kInt64) {
        tensor_.bytes.append(reinterpret_cast<const char*>(&whole), sizeof whole);
        return {};
      }
      if (tensor_.type != DataType::kUint64) {
        if (!serve::append_number(tensor_, static_cast<double>(whole))) return misfit(std::to_string(whole));
        return {};
      }
    }
    if (uint64_t large = 0; tensor_.type == DataType::kUint64 && value.get_uint64().get(large) == simdjson::SUCCESS) {
      tensor_.bytes.append(reinterpret_cast<const char*>(&large), sizeof large);
      return {};
    }
    SIMD_TRY(value.get_double().get(real), broken(code));
    if (!serve::append_number(tensor_, real)) return misfit("a number with a fraction, or out of range,");
    return {};
  }

  Tensor& tensor_;
  size_t wanted_ = 0, found_ = 0;
};

base::Result<void> read_shape(od::value value, InputParts& input) {
  od::array list;
  SIMD_TRY(value.get_array().get(list), wrong(code, "'shape' of an input", "a list of whole numbers"));
  for (auto item : list) {
    int64_t dim = 0;
    SIMD_TRY(item.get_int64().get(dim), wrong(code, "'shape' of an input", "a list of whole numbers"));
    if (input.tensor.shape.size() == serve::kMaxRank) {
      return base::invalid("'shape' of an input has more than " + std::to_string(serve::kMaxRank) + " dimensions");
    }
    input.tensor.shape.push_back(dim);
  }
  input.has_shape = true;
  return {};
}

base::Result<void> read_input_parameters(od::value value, InputParts& input) {
  od::object parameters;
  SIMD_TRY(value.get_object().get(parameters), wrong(code, "'parameters' of an input", "an object"));
  PartParameters part;
  for (auto field : parameters) {
    std::string_view key;
    SIMD_TRY(field.unescaped_key().get(key), broken(code));
    od::value given;
    SIMD_TRY(field.value().get(given), broken(code));
    if (key == "binary_data_size") {
      uint64_t size = 0;
      SIMD_TRY(given.get_uint64().get(size), wrong(code, "'binary_data_size'", "a whole number"));
      input.binary_bytes = size;
    } else {
      TRY(part.read(key, given));
    }
  }
  TRY_SET(input.shared, make_part(std::move(part.region), part.offset, part.bytes));
  return {};
}

base::Result<void> read_data(od::array data, InputParts& input, size_t body_bytes) {
  TRY_SET(const size_t count, serve::element_count(input.tensor.name, input.tensor.shape));
  return DataReader(input.tensor).read(data, count, body_bytes);
}

base::Result<void> read_late_data(InputParts& input) {
  const simdjson::padded_string text(*input.late_data);
  od::parser parser;
  od::document document;
  od::array data;
  SIMD_TRY(parser.iterate(text).get(document), broken(code));
  SIMD_TRY(document.get_array().get(data), broken(code));
  return read_data(data, input, text.size());
}

base::Result<void> read_input(od::object object, size_t body_bytes, InputParts& input) {
  for (auto field : object) {
    std::string_view key;
    SIMD_TRY(field.unescaped_key().get(key), broken(code));
    od::value value;
    SIMD_TRY(field.value().get(value), broken(code));
    if (key == "name") {
      TRY_SET(input.tensor.name, read_text(value, "'name' of an input"));
      input.has_name = true;
    } else if (key == "datatype") {
      TRY_SET(const std::string_view word, read_text(value, "'datatype' of an input"));
      const auto type = serve::parse_data_type(word);
      if (!type) {
        return base::invalid("datatype '" + std::string(word.substr(0, 40)) +
                             "' is unknown; allowed: BOOL, UINT8, UINT16, UINT32, UINT64, INT8,"
                             " INT16, INT32, INT64, FP16, BF16, FP32, FP64, BYTES");
      }
      input.tensor.type = *type;
      input.has_type = true;
    } else if (key == "shape") {
      if (input.has_shape) return base::invalid("an input has two shapes");
      TRY(read_shape(value, input));
    } else if (key == "parameters") {
      TRY(read_input_parameters(value, input));
    } else if (key == "data") {
      if (input.has_data) return base::invalid("an input has 'data' twice");
      od::array data;
      SIMD_TRY(value.get_array().get(data), wrong(code, "'data' of an input", "a list"));
      input.has_data = true;
      if (input.has_shape && input.has_type && input.has_name) {
        TRY(read_data(data, input, body_bytes));
      } else {
        std::string_view raw;
        SIMD_TRY(data.raw_json().get(raw), broken(code));
        input.late_data = raw;
      }
    }
  }
  if (!input.has_name) return base::invalid("an input has no 'name'");
  const auto lacks = [&](const char* what) {
    return base::invalid("input '" + input.tensor.name + "' has no '" + what + "'");
  };
  if (!input.has_shape) return lacks("shape");
  if (!input.has_type) return lacks("datatype");
  if (input.late_data) TRY(read_late_data(input));
  const bool shared = !input.shared.region.empty();
  if (shared && (input.has_data || input.binary_bytes)) {
    return base::invalid("input '" + input.tensor.name + "' has data beside its shared memory region");
  }
  if (!input.has_data && !input.binary_bytes && !shared) return lacks("data");
  if (input.has_data && input.binary_bytes) {
    return base::invalid("input '" + input.tensor.name + "' has both 'data' and 'binary_data_size'");
  }
  return {};
}

base::Result<void> read_output_parameters(od::object parameters, OipRequest::Output& output) {
  PartParameters part;
  for (auto parameter : parameters) {
    std::string_view name;
    SIMD_TRY(parameter.unescaped_key().get(name), broken(code));
    od::value given;
    SIMD_TRY(parameter.value().get(given), broken(code));
    if (name == "binary_data") {
      bool flag = false;
      SIMD_TRY(given.get_bool().get(flag), wrong(code, "'binary_data'", "true or false"));
      output.binary = flag;
    } else if (name == "classification") {
      SIMD_TRY(given.get_int64().get(output.classes), wrong(code, "'classification'", "a whole number"));
      if (output.classes < 0 || output.classes > kMaxClasses) {
        return base::invalid("'classification' is " + std::to_string(output.classes) + "; allowed: 0 to " +
                             std::to_string(kMaxClasses));
      }
    } else {
      TRY(part.read(name, given));
    }
  }
  TRY_SET(output.shared, make_part(std::move(part.region), part.offset, part.bytes));
  if (!output.shared.region.empty() && output.classes > 0)
    return base::invalid("shared memory does not support classification");
  return {};
}

base::Result<OipRequest::Output> read_output(od::object object) {
  OipRequest::Output output;
  for (auto field : object) {
    std::string_view key;
    SIMD_TRY(field.unescaped_key().get(key), broken(code));
    od::value value;
    SIMD_TRY(field.value().get(value), broken(code));
    if (key == "name") {
      TRY_SET(output.name, read_text(value, "'name' of an output"));
    } else if (key == "parameters") {
      od::object parameters;
      SIMD_TRY(value.get_object().get(parameters), wrong(code, "'parameters' of an output", "an object"));
      TRY(read_output_parameters(parameters, output));
    }
  }
  if (output.name.empty()) return base::invalid("an output has no 'name'");
  return output;
}

// Takes an input's raw bytes from the front of `rest`.
base::Result<void> take_binary(InputParts& input, std::string_view& rest) {
  Tensor& tensor = input.tensor;
  const size_t size = *input.binary_bytes;
  if (size > rest.size()) {
    return base::invalid("input '" + tensor.name + "': binary_data_size is " + std::to_string(size) + ", but only " +
                         std::to_string(rest.size()) + " bytes follow");
  }
  const std::string_view bytes = rest.substr(0, size);
  rest.remove_prefix(size);
  return set_raw(tensor, bytes);
}

// A number or a text; 0 and "" are none.
base::Result<void> read_sequence_id(od::value value, std::string& id) {
  od::json_type type{};
  SIMD_TRY(value.type().get(type), broken(code));
  if (type == od::json_type::number) {
    uint64_t number = 0;
    SIMD_TRY(value.get_uint64().get(number), wrong(code, "'sequence_id'", "a whole number or a text"));
    if (number != 0) id = std::to_string(number);
    return {};
  }
  std::string_view text;
  SIMD_TRY(value.get_string().get(text), wrong(code, "'sequence_id'", "a whole number or a text"));
  if (text.size() > serve::kMaxSequenceId)
    return base::invalid("'sequence_id' has " + std::to_string(text.size()) + " bytes; at most " +
                         std::to_string(serve::kMaxSequenceId) + " are allowed");
  id = text;
  return {};
}

base::Result<void> read_request_parameters(od::value value, OipRequest& request) {
  od::object parameters;
  SIMD_TRY(value.get_object().get(parameters), wrong(code, "'parameters'", "an object"));
  for (auto field : parameters) {
    std::string_view key;
    SIMD_TRY(field.unescaped_key().get(key), broken(code));
    if (key == "binary_data_output") {
      SIMD_TRY(field.value().get_bool().get(request.binary_outputs),
               wrong(code, "'binary_data_output'", "true or false"));
    } else if (key == "timeout") {
      SIMD_TRY(field.value().get_uint64().get(request.wish.timeout_us),
               wrong(code, "'timeout'", "a whole number of microseconds"));
    } else if (key == "sequence_id") {
      TRY(read_sequence_id(field.value(), request.wish.sequence.id));
    } else if (key == "sequence_start" || key == "sequence_end") {
      bool& flag = key == "sequence_start" ? request.wish.sequence.start : request.wish.sequence.end;
      SIMD_TRY(field.value().get_bool().get(flag), wrong(code, "'sequence_start' and 'sequence_end'", "true or false"));
    } else if (key == "priority") {
      SIMD_TRY(field.value().get_uint64().get(request.wish.priority), wrong(code, "'priority'", "a whole number"));
    }
  }
  return {};
}

base::Result<void> read_inputs(od::value value, std::vector<InputParts>& inputs, size_t body_bytes) {
  od::array list;
  SIMD_TRY(value.get_array().get(list), wrong(code, "'inputs'", "a list"));
  for (auto item : list) {
    od::object object;
    SIMD_TRY(item.get_object().get(object), wrong(code, "an entry of 'inputs'", "an object"));
    if (inputs.size() == kMaxTensors) return base::invalid("more than " + std::to_string(kMaxTensors) + " inputs");
    TRY(read_input(object, body_bytes, inputs.emplace_back()));
  }
  return {};
}

base::Result<void> read_outputs(od::value value, OipRequest& request) {
  od::array list;
  SIMD_TRY(value.get_array().get(list), wrong(code, "'outputs'", "a list"));
  for (auto item : list) {
    od::object object;
    SIMD_TRY(item.get_object().get(object), wrong(code, "an entry of 'outputs'", "an object"));
    if (request.outputs.size() == kMaxTensors)
      return base::invalid("more than " + std::to_string(kMaxTensors) + " outputs");
    TRY_SET(OipRequest::Output output, read_output(object));
    for (const auto& other : request.outputs) {
      if (other.name == output.name) return base::invalid("output '" + output.name + "' is asked for twice");
    }
    request.outputs.push_back(std::move(output));
  }
  request.has_outputs = true;
  return {};
}

}  // namespace

base::Result<SharedPart> make_part(std::optional<std::string> region, std::optional<uint64_t> offset,
                                   std::optional<uint64_t> bytes) {
  if (!region) {
    if (offset || bytes) return base::invalid("a tensor has an offset or size in shared memory, but no region");
    return SharedPart{};
  }
  if (region->empty()) return base::invalid("'shared_memory_region' is empty");
  if (!bytes) return base::invalid("'shared_memory_byte_size' is missing beside 'shared_memory_region'");
  return SharedPart{std::move(*region), offset.value_or(0), *bytes};
}

uint64_t priority_in(std::string_view body, std::optional<size_t> json_bytes) {
  const size_t json_size = std::min(json_bytes.value_or(body.size()), body.size());
  if (body.substr(0, json_size).find("\"priority\"") == body.npos) return 0;
  thread_local od::parser parser;
  od::document document;
  uint64_t priority = 0;
  if (parser.iterate(body.data(), json_size, body.size() + net::Request::kBodyPadding).get(document)) return 0;
  return document["parameters"]["priority"].get_uint64().get(priority) ? 0 : priority;
}

base::Result<OipRequest> parse_oip(std::string_view body, std::optional<size_t> json_bytes) {
  const size_t json_size = json_bytes.value_or(body.size());
  if (json_size > body.size()) {
    return base::invalid("Inference-Header-Content-Length is " + std::to_string(json_size) + ", but the body has " +
                         std::to_string(body.size()) + " bytes");
  }
  static_assert(net::Request::kBodyPadding >= simdjson::SIMDJSON_PADDING);
  thread_local od::parser parser;
  OipRequest request;
  std::vector<InputParts> inputs;
  bool has_inputs = false;

  od::document document;
  od::object object;
  SIMD_TRY(parser.iterate(body.data(), json_size, body.size() + net::Request::kBodyPadding).get(document),
           broken(code));
  SIMD_TRY(document.get_object().get(object), wrong(code, "the body", "a JSON object"));
  for (auto field : object) {
    std::string_view key;
    SIMD_TRY(field.unescaped_key().get(key), broken(code));
    od::value value;
    SIMD_TRY(field.value().get(value), broken(code));
    if (key == "id") {
      TRY_SET(request.id, read_text(value, "'id'"));
    } else if (key == "inputs") {
      if (has_inputs) return base::invalid("'inputs' stands twice");
      has_inputs = true;
      TRY(read_inputs(value, inputs, json_size));
    } else if (key == "outputs") {
      if (request.has_outputs) return base::invalid("'outputs' stands twice");
      TRY(read_outputs(value, request));
    } else if (key == "parameters") {
      TRY(read_request_parameters(value, request));
    }
  }
  const char* behind = nullptr;
  if (document.current_location().get(behind) != simdjson::OUT_OF_BOUNDS)
    return base::invalid("the body is not valid JSON: something follows its object");
  if (!has_inputs) return base::invalid("'inputs' is missing");
  std::string_view rest = body.substr(json_size);
  request.inputs.reserve(inputs.size());
  const bool any_shared = std::ranges::any_of(inputs, [](const auto& input) { return !input.shared.region.empty(); });
  for (InputParts& input : inputs) {
    if (input.binary_bytes) TRY(take_binary(input, rest));
    if (any_shared) request.shared_inputs.push_back(std::move(input.shared));
    request.inputs.push_back(std::move(input.tensor));
  }
  if (!rest.empty())
    return base::invalid(std::to_string(rest.size()) + " bytes follow that no input's binary_data_size names");
  return request;
}

}  // namespace api::inference
