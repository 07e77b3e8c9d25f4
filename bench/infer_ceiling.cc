// The ceiling of one-row inference: one thread, bare epoll, simdjson, ONNX Runtime, and nothing else. No routes, no limits,
// no capture, no ids; requests it does not expect end the connection.
//
//   infer_ceiling MODEL.onnx [PORT]     prints "http://127.0.0.1:PORT"; POST anything with Open Inference Protocol JSON
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <simdjson.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "serve/onnx_library.h"

namespace {

void must(bool good, const char* what) {
  if (good) return;
  std::perror(what);
  std::exit(1);
}

class Model {
 public:
  explicit Model(const char* file) {
    const auto library = serve::onnx_library();
    if (!library) {
      std::fprintf(stderr, "%s\n", library.error().message.c_str());
      std::exit(1);
    }
    lib_ = *library;
    api_ = lib_->api;
    OrtSessionOptions* options = nullptr;
    ok(api_->CreateSessionOptions(&options));
    ok(api_->SetIntraOpNumThreads(options, 1));
    ok(api_->SetInterOpNumThreads(options, 1));
    ok(api_->CreateSession(lib_->env, file, options, &session_));
    api_->ReleaseSessionOptions(options);
    ok(api_->SessionGetInputName(session_, 0, lib_->allocator, &input_));
    for (size_t i = 0; i < 2; ++i) ok(api_->SessionGetOutputName(session_, i, lib_->allocator, &outputs_[i]));
  }

  // One row in, label and probabilities out, as JSON behind `out`.
  bool run(std::vector<float>& row, std::string& out) {
    const int64_t shape[2] = {1, static_cast<int64_t>(row.size())};
    OrtValue* input = nullptr;
    OrtValue* results[2] = {nullptr, nullptr};
    ok(api_->CreateTensorWithDataAsOrtValue(lib_->cpu, row.data(), row.size() * sizeof(float), shape, 2,
                                            ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &input));
    const OrtValue* inputs[1] = {input};
    const bool ran = ok(api_->Run(session_, nullptr, &input_, inputs, 1, outputs_, 2, results), false);
    api_->ReleaseValue(input);
    if (!ran) return false;
    int64_t* label = nullptr;
    float* scores = nullptr;
    OrtTensorTypeAndShapeInfo* info = nullptr;
    size_t count = 0;
    ok(api_->GetTensorMutableData(results[0], reinterpret_cast<void**>(&label)));
    ok(api_->GetTensorMutableData(results[1], reinterpret_cast<void**>(&scores)));
    ok(api_->GetTensorTypeAndShape(results[1], &info));
    ok(api_->GetTensorShapeElementCount(info, &count));
    api_->ReleaseTensorTypeAndShapeInfo(info);
    char text[32];
    out += R"({"model_name":"m","model_version":"1","outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[)";
    out.append(text, std::to_chars(text, text + sizeof text, *label).ptr);
    out += R"(]},{"name":"probabilities","datatype":"FP32","shape":[1,)";
    out.append(text, std::to_chars(text, text + sizeof text, count).ptr);
    out += R"(],"data":[)";
    for (size_t i = 0; i < count; ++i) {
      if (i) out += ',';
      out.append(text, std::to_chars(text, text + sizeof text, scores[i]).ptr);
    }
    out += "]}]}";
    for (OrtValue* result : results) api_->ReleaseValue(result);
    return true;
  }

 private:
  bool ok(OrtStatus* status, bool fatal = true) {
    if (!status) return true;
    std::fprintf(stderr, "%s\n", api_->GetErrorMessage(status));
    api_->ReleaseStatus(status);
    if (fatal) std::exit(1);
    return false;
  }
  const serve::OnnxLibrary* lib_ = nullptr;
  const OrtApi* api_ = nullptr;
  OrtSession* session_ = nullptr;
  char* input_ = nullptr;
  char* outputs_[2] = {nullptr, nullptr};
};

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
    if (!read_row(in.data() + end + 4, length, in.capacity() - end - 4, row) || !model.run(row, body)) return false;
    out += "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
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
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int one = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(argc > 2 ? std::atoi(argv[2]) : 0))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  must(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "bind");
  must(::listen(listener, 512) == 0, "listen");
  socklen_t size = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::printf("http://127.0.0.1:%d\n", ntohs(address.sin_port));
  std::fflush(stdout);

  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event watch{.events = EPOLLIN, .data = {.fd = listener}};
  ::epoll_ctl(poll, EPOLL_CTL_ADD, listener, &watch);
  std::unordered_map<int, std::string> pending;
  std::vector<epoll_event> events(256);
  std::vector<char> buffer(64 << 10);
  std::string out;
  for (;;) {
    const int ready = ::epoll_wait(poll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < ready; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == listener) {
        const int peer = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (peer < 0) continue;
        ::setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        epoll_event add{.events = EPOLLIN, .data = {.fd = peer}};
        ::epoll_ctl(poll, EPOLL_CTL_ADD, peer, &add);
        continue;
      }
      const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
      std::string& in = pending[fd];
      out.clear();
      bool keep = got > 0;
      if (keep) {
        in.append(buffer.data(), static_cast<size_t>(got));
        keep = serve_all(model, in, out);
      }
      if (keep && !out.empty()) keep = ::send(fd, out.data(), out.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(out.size());
      if (!keep) {
        pending.erase(fd);
        ::close(fd);
      }
    }
  }
}
