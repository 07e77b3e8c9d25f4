// The ceiling of one-row inference over gRPC: one thread, bare epoll, nghttp2, protobuf, ONNX Runtime, and nothing
// else. No routes, no limits, no capture, no ids; every call is a ModelInfer.
//
//   grpc_ceiling MODEL.onnx [PORT]     prints "http://127.0.0.1:PORT"
#include <nghttp2/nghttp2.h>

#include <cstring>
#include <memory>
#include <string>
#include <unordered_map>

#include "bare_model.h"
#include "bare_server.h"
#include "grpc_service.pb.h"

namespace {

struct Call {
  std::string body, out;
  size_t sent = 0;
};

struct Connection {
  explicit Connection(bench::Model& m) : model(m) {}
  ~Connection() { nghttp2_session_del(session); }
  bench::Model& model;
  nghttp2_session* session = nullptr;
  std::unordered_map<int32_t, Call> calls;
};

nghttp2_nv field(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

ssize_t pull(nghttp2_session* session, int32_t id, uint8_t* into, size_t size, uint32_t* flags,
             nghttp2_data_source* source, void*) {
  Call& call = *static_cast<Call*>(source->ptr);
  const size_t n = std::min(size, call.out.size() - call.sent);
  std::memcpy(into, call.out.data() + call.sent, n);
  call.sent += n;
  if (call.sent == call.out.size()) {
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    const nghttp2_nv trailer = field("grpc-status", "0");
    nghttp2_submit_trailer(session, id, &trailer, 1);
  }
  return static_cast<ssize_t>(n);
}

void answer(Connection& connection, int32_t id, Call& call) {
  static std::vector<float> row;
  google::protobuf::Arena arena;
  auto* in = google::protobuf::Arena::CreateMessage<inference::ModelInferRequest>(&arena);
  auto* out = google::protobuf::Arena::CreateMessage<inference::ModelInferResponse>(&arena);
  if (call.body.size() < 5 || !in->ParseFromArray(call.body.data() + 5, static_cast<int>(call.body.size() - 5)) ||
      in->raw_input_contents_size() != 1) {
    nghttp2_submit_rst_stream(connection.session, 0, id, NGHTTP2_CANCEL);
    return;
  }
  const std::string& raw = in->raw_input_contents(0);
  row.resize(raw.size() / sizeof(float));
  std::memcpy(row.data(), raw.data(), row.size() * sizeof(float));
  out->set_model_name(in->model_name());
  out->set_model_version("1");
  connection.model.run(row, [&](int64_t label, std::span<const float> scores) {
    auto* first = out->add_outputs();
    first->set_name("label");
    first->set_datatype("INT64");
    first->add_shape(1);
    out->add_raw_output_contents()->assign(reinterpret_cast<const char*>(&label), sizeof label);
    auto* second = out->add_outputs();
    second->set_name("probabilities");
    second->set_datatype("FP32");
    second->add_shape(1);
    second->add_shape(static_cast<int64_t>(scores.size()));
    out->add_raw_output_contents()->assign(reinterpret_cast<const char*>(scores.data()), scores.size_bytes());
  });
  const size_t size = out->ByteSizeLong();
  const char prefix[5] = {0, static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8),
                          static_cast<char>(size)};
  call.out.assign(prefix, 5);
  out->AppendToString(&call.out);
  const nghttp2_nv head[] = {field(":status", "200"), field("content-type", "application/grpc")};
  const nghttp2_data_provider body{.source = {.ptr = &call}, .read_callback = pull};
  nghttp2_submit_response(connection.session, id, head, 2, &body);
}

void open_session(Connection& connection) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_begin_headers_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
        static_cast<Connection*>(user)->calls.try_emplace(frame->hd.stream_id);
        return 0;
      });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks, [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes, size_t size, void* user) {
        static_cast<Connection*>(user)->calls[id].body.append(reinterpret_cast<const char*>(bytes), size);
        return 0;
      });
  nghttp2_session_callbacks_set_on_frame_recv_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
        auto& self = *static_cast<Connection*>(user);
        if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
            (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
          answer(self, frame->hd.stream_id, self.calls[frame->hd.stream_id]);
        return 0;
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
                                                         [](nghttp2_session*, int32_t id, uint32_t, void* user) {
                                                           static_cast<Connection*>(user)->calls.erase(id);
                                                           return 0;
                                                         });
  nghttp2_session_server_new(&connection.session, callbacks, &connection);
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 256}};
  nghttp2_submit_settings(connection.session, NGHTTP2_FLAG_NONE, settings, 1);
}

// False ends the connection.
bool converse(Connection& connection, std::string_view bytes, std::string& out) {
  if (nghttp2_session_mem_recv(connection.session, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()) < 0)
    return false;
  const uint8_t* piece = nullptr;
  for (ssize_t n = 0; (n = nghttp2_session_mem_send(connection.session, &piece)) > 0;)
    out.append(reinterpret_cast<const char*>(piece), static_cast<size_t>(n));
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "grpc_ceiling MODEL.onnx [PORT]\n"), 2;
  bench::Model model(argv[1]);
  bench::run_server(
      argc > 2 ? std::atoi(argv[2]) : 0,
      [&] {
        auto connection = std::make_unique<Connection>(model);
        open_session(*connection);
        return connection;
      },
      [](std::unique_ptr<Connection>& connection, std::string_view bytes, std::string& out) {
        return converse(*connection, bytes, out);
      });
}
