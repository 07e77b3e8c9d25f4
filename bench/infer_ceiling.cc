// The ceiling of one-row inference: one thread, bare epoll, simdjson, ONNX Runtime, and nothing else. No routes, no
// limits, no capture, no ids; requests it does not expect end the connection.
//
//   infer_ceiling MODEL.onnx [PORT]     prints "http://127.0.0.1:PORT"; POST anything with Open Inference Protocol JSON
#include <simdjson.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "bare_model.h"
#include "bare_server.h"

namespace {

using bench::Model;

void append_json(std::string& out, int64_t label, std::span<const float> scores) {
  char text[32];
  out += R"({"model_name":"m","model_version":"1","outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[)";
  out.append(text, std::to_chars(text, text + sizeof text, label).ptr);
  out += R"(]},{"name":"probabilities","datatype":"FP32","shape":[1,)";
  out.append(text, std::to_chars(text, text + sizeof text, scores.size()).ptr);
  out += R"(],"data":[)";
  for (size_t i = 0; i < scores.size(); ++i) {
    if (i) out += ',';
    out.append(text, std::to_chars(text, text + sizeof text, scores[i]).ptr);
  }
  out += "]}]}";
}

bool read_row(const char* body, size_t size, size_t capacity, std::vector<float>& row) {
  namespace od = simdjson::ondemand;
  static od::parser parser;
  od::document document;
  od::array inputs, data;
  row.clear();
  if (parser.iterate(body, size, capacity).get(document) || document["inputs"].get_array().get(inputs)) return false;
  for (auto input : inputs) {
    if (input["data"].get_array().get(data)) return false;
    for (auto item : data) {
      double value = 0;
      if (item.get_double().get(value)) return false;
      row.push_back(static_cast<float>(value));
    }
    break;
  }
  return !row.empty();
}

// Answers every whole request in `in`; false ends the connection.
bool serve_all(Model& model, std::string& in, std::string& out) {
  static std::vector<float> row;
  static std::string body;
  size_t at = 0;
  for (;;) {
    const size_t end = in.find("\r\n\r\n", at);
    if (end == std::string::npos) break;
    const size_t field = in.find("ontent-Length: ", at);
    if (field == std::string::npos || field > end) return false;
    const size_t length = std::strtoul(in.c_str() + field + 15, nullptr, 10);
    if (in.size() < end + 4 + length) break;
    in.reserve(in.size() + simdjson::SIMDJSON_PADDING);
    body.clear();
    if (!read_row(in.data() + end + 4, length, in.capacity() - end - 4, row) ||
        !model.run(row, [&](int64_t label, std::span<const float> scores) { append_json(body, label, scores); }))
      return false;
    out += "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n";
    out += body;
    at = end + 4 + length;
  }
  in.erase(0, at);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "infer_ceiling MODEL.onnx [PORT]\n"), 2;
  Model model(argv[1]);
  bench::run_server(
      argc > 2 ? std::atoi(argv[2]) : 0, [] { return std::string(); },
      [&](std::string& in, std::string_view bytes, std::string& out) {
        in.append(bytes);
        return serve_all(model, in, out);
      });
}
