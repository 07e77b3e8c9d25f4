// gRPC over net's HTTP/2: messages, statuses, deadlines and compression. A call is a route like any other
// (POST /package.Service/Method): access, limits and sweeps are net's, and a message's type is the handler's business.
//
// Errors travel in trailers: grpc-status (grpc_status maps our codes, once) and grpc-message, percent-encoded.
// Thread: handlers run on their connection's loop.
#pragma once

#include <google/protobuf/arena.h>
#include <google/protobuf/message_lite.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "api/inference/compression.h"
#include "api/inference/core.h"

namespace api::inference {

inline constexpr size_t kMessageBytes = base::limits::kInferBody;  // one message, uncompressed
inline constexpr size_t kStreamBytes = base::limits::kUploadBody;  // all messages of one stream
inline constexpr size_t kPackFrom = 1024;                          // shorter answers are not worth compressing

int grpc_status(base::Code code);

// Before anything was sent: an answer of headers only. Over HTTP/1.1, where there is no gRPC, HTTP's status.
void write_grpc_error(net::Response& response, const base::Error& error);

// What a call says of itself in its head.
struct CallHead {
  Coding coding = Coding::kIdentity;         // of compressed messages
  Coding answer_coding = Coding::kIdentity;  // the request's own, if the client takes it back
};
// Also sets the request's deadline from grpc-timeout.
base::Result<CallHead> read_call_head(net::Request& request, const net::Response& response);

// The messages of a request, one after the other.
class MessageReader {
 public:
  MessageReader(net::Request& request, Coding coding) : request_(request), coding_(coding) {}
  // False: there are no more.
  base::Task<base::Result<bool>> next(std::string& message);

 private:
  base::Task<base::Result<size_t>> fill(std::string& into, size_t bytes);
  net::Request& request_;
  Coding coding_;
};

// The only message of a body; a view into it, or into `unpacked`.
base::Result<std::string_view> only_message(std::string_view body, Coding coding, std::string& unpacked);
// Appends a message with its prefix.
base::Result<void> append_message(std::string& out, const google::protobuf::MessageLite& message, Coding coding);

// Begins the answer of a streaming call, and ends it.
base::Task<base::Result<void>> begin_stream(net::Response& response, const CallHead& head);
base::Task<void> end_stream(net::Response& response, const base::Result<void>& outcome);

namespace detail {
using Parse = std::function<base::Result<void>(const Door&, net::Request&, net::Response&, std::string_view message,
                                               Coding coding, std::string& out)>;
net::Handler unary(DoorPtr door, Parse call);
// For the one arena that a thread has at a time: its first block is the thread's own, made at its first call.
google::protobuf::ArenaOptions arena_options();
}  // namespace detail

// One message in, one out, without waiting.
template <class In, class Out>
using UnaryCall = std::function<base::Result<void>(const Door&, net::Request&, net::Response&, In&, Out&)>;

template <class In, class Out>
net::Handler unary(DoorPtr door, UnaryCall<In, Out> call) {
  return detail::unary(
      std::move(door),
      [call = std::move(call)](const Door& d, net::Request& request, net::Response& response, std::string_view message,
                               Coding coding, std::string& out) -> base::Result<void> {
        google::protobuf::Arena arena(detail::arena_options());
        auto* in = google::protobuf::Arena::CreateMessage<In>(&arena);
        auto* answer = google::protobuf::Arena::CreateMessage<Out>(&arena);
        if (!in->ParseFromArray(message.data(), static_cast<int>(message.size())))
          return base::invalid("the message is not a " + in->GetTypeName());
        TRY(call(d, request, response, *in, *answer));
        return append_message(out, *answer, coding);
      });
}

// The services' files.
void add_grpc_inference_routes(net::RouteTable& routes, const DoorPtr& door);
void add_grpc_tfserving_routes(net::RouteTable& routes, const DoorPtr& door);
void add_grpc_health_routes(net::RouteTable& routes, const DoorPtr& door);
void add_grpc_reflection_routes(net::RouteTable& routes, const DoorPtr& door);

// Where a call that nobody serves is told so.
void add_unknown_call(net::RouteTable& routes, std::string_view service, const DoorPtr& door);

}  // namespace api::inference
