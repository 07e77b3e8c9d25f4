#include "api/inference/grpc.h"

#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/clock.h"

namespace api::inference {
namespace {

constexpr size_t kPrefixBytes = 5;  // compressed or not, and the length
constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr std::string_view kType = "application/grpc";
constexpr std::string_view kCodings = "identity,deflate,gzip";

std::string encode_message(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (unsigned char c : text) {
    if (c >= 0x20 && c <= 0x7e && c != '%') {
      out += static_cast<char>(c);
    } else {
      out += {'%', kHex[c >> 4], kHex[c & 15]};
    }
  }
  return out;
}

void add_status(net::Response& response, const base::Error& error, bool as_trailer) {
  const std::string code = std::to_string(grpc_status(error.code)), message = encode_message(error.message);
  if (as_trailer) {
    response.trailer("grpc-status", code);
    response.trailer("grpc-message", message);
  } else {
    response.header("grpc-status", code);
    response.header("grpc-message", message);
  }
}

// "100m": at most eight digits and a unit. Microseconds; nullopt for what is none.
std::optional<int64_t> parse_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  int64_t count = 0;
  const char* end = text.data() + text.size() - 1;
  const auto [stop, error] = std::from_chars(text.data(), end, count);
  if (error != std::errc() || stop != end || count < 0) return std::nullopt;
  switch (text.back()) {
    case 'H': return count * 3'600'000'000;
    case 'M': return count * 60'000'000;
    case 'S': return count * 1'000'000;
    case 'm': return count * 1'000;
    case 'u': return count;
    case 'n': return (count + 999) / 1'000;
    default: return std::nullopt;
  }
}

struct Prefix {
  bool packed = false;
  size_t bytes = 0;
};

base::Result<Prefix> read_prefix(std::string_view bytes) {
  if (static_cast<unsigned char>(bytes[0]) > 1)
    return base::fail(base::Code::kInternal, "a message begins with neither 0 nor 1");
  uint32_t length = 0;
  for (size_t i = 1; i < kPrefixBytes; ++i) length = length << 8 | static_cast<unsigned char>(bytes[i]);
  if (length > kMessageBytes) {
    return base::fail(base::Code::kTooLarge, "a message has " + std::to_string(length) + " bytes; allowed are " +
                                                 std::to_string(kMessageBytes));
  }
  return Prefix{bytes[0] == 1, length};
}

}  // namespace

int grpc_status(base::Code code) {
  switch (code) {
    case base::Code::kCancelled: return 1;
    case base::Code::kInvalid: return 3;
    case base::Code::kDeadline: return 4;
    case base::Code::kNotFound: return 5;
    case base::Code::kAlreadyExists: return 6;
    case base::Code::kForbidden: return 7;
    case base::Code::kTooLarge: return 8;
    case base::Code::kTooMany: return 8;
    case base::Code::kConflict: return 10;
    case base::Code::kUnsupported: return 12;
    case base::Code::kInternal: return 13;
    case base::Code::kUnavailable: return 14;
    case base::Code::kUnauthenticated: return 16;
  }
  return 2;
}

void write_grpc_error(net::Response& response, const base::Error& error) {
  if (!response.sends_trailers())
    return response.send(net::http_status(error.code), "text/plain; charset=utf-8", error.message + "\n");
  add_status(response, error, false);
  response.send(200, kType, "");
}

base::Result<CallHead> read_call_head(net::Request& request, const net::Response& response) {
  if (!response.sends_trailers()) return base::fail(base::Code::kUnsupported, "gRPC needs HTTP/2");
  const std::string_view type = request.header("content-type");
  if (type != kType && type != "application/grpc+proto")
    return base::invalid("content-type is '" + std::string(type.substr(0, 80)) + "'; allowed: application/grpc");
  CallHead head;
  const std::string_view word = request.header("grpc-encoding");
  const auto coding = parse_coding(word);
  if (!coding) {
    return base::fail(base::Code::kUnsupported, "grpc-encoding '" + std::string(word.substr(0, 40)) +
                                                    "' is unknown; allowed: " + std::string(kCodings));
  }
  head.coding = *coding;
  std::string_view accepts = request.header("grpc-accept-encoding");
  if (head.coding != Coding::kIdentity && accepts.find(name(head.coding)) != accepts.npos)
    head.answer_coding = head.coding;
  if (const std::string_view timeout = request.header("grpc-timeout"); !timeout.empty()) {
    const auto us = parse_timeout(timeout);
    if (!us) return base::invalid("grpc-timeout '" + std::string(timeout.substr(0, 40)) + "' is no time");
    if (*us == 0) return base::fail(base::Code::kDeadline, "the call's time was over before it began");
    const int64_t until_us = base::system_clock().mono_us() + *us;
    int64_t& deadline_us = request.ctx.deadline_mono_us;
    if (deadline_us == 0 || until_us < deadline_us) deadline_us = until_us;
  }
  return head;
}

base::Task<base::Result<size_t>> MessageReader::fill(std::string& into, size_t bytes) {
  into.clear();
  size_t size = 0;
  while (size < bytes) {
    if (size == into.size()) into.resize(size + std::min(bytes - size, kPieceBytes));  // memory follows the bytes
    CO_TRY_SET(const size_t n, co_await request_.read_some({into.data() + size, into.size() - size}));
    if (n == 0) break;
    size += n;
  }
  into.resize(size);
  co_return size;
}

base::Task<base::Result<bool>> MessageReader::next(std::string& message) {
  CO_TRY_SET(const size_t head, co_await fill(message, kPrefixBytes));
  if (head == 0) co_return false;
  if (head < kPrefixBytes) co_return base::fail(base::Code::kInternal, "the last message is cut off");
  CO_TRY_SET(const Prefix prefix, read_prefix(message));
  CO_TRY_SET(const size_t body, co_await fill(message, prefix.bytes));
  if (body < prefix.bytes) co_return base::fail(base::Code::kInternal, "the last message is cut off");
  if (prefix.packed) {
    if (coding_ == Coding::kIdentity)
      co_return base::fail(base::Code::kInternal, "a message is compressed, but grpc-encoding names no coding");
    CO_TRY_SET(message, unpack(coding_, message, kMessageBytes));
  }
  co_return true;
}

base::Result<std::string_view> only_message(std::string_view body, Coding coding, std::string& unpacked) {
  if (body.size() < kPrefixBytes)
    return base::fail(base::Code::kInternal, body.empty() ? "the call has no message" : "the message is cut off");
  TRY_SET(const Prefix prefix, read_prefix(body));
  body.remove_prefix(kPrefixBytes);
  if (body.size() < prefix.bytes) return base::fail(base::Code::kInternal, "the message is cut off");
  if (body.size() > prefix.bytes) return base::fail(base::Code::kUnsupported, "the call has more than one message");
  if (!prefix.packed) return body;
  if (coding == Coding::kIdentity)
    return base::fail(base::Code::kInternal, "a message is compressed, but grpc-encoding names no coding");
  TRY_SET(unpacked, unpack(coding, body, kMessageBytes));
  return std::string_view(unpacked);
}

base::Result<void> append_message(std::string& out, const google::protobuf::MessageLite& message, Coding coding) {
  const size_t size = message.ByteSizeLong();
  if (size > std::numeric_limits<int>::max())
    return base::fail(base::Code::kTooLarge, "the answer has more than 2 GiB");
  const auto prefix = [](char* at, bool packed, size_t bytes) {
    at[0] = packed ? 1 : 0;
    for (size_t i = 0; i < 4; ++i) at[1 + i] = static_cast<char>(bytes >> (24 - 8 * i));
  };
  if (coding != Coding::kIdentity && size >= kPackFrom) {
    const std::string packed = pack(coding, message.SerializeAsString());
    char head[kPrefixBytes];
    prefix(head, true, packed.size());
    out.append(head, kPrefixBytes).append(packed);
    return {};
  }
  const size_t begin = out.size();
  out.resize_and_overwrite(begin + kPrefixBytes + size, [&](char* data, size_t) {
    prefix(data + begin, false, size);
    message.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(data + begin + kPrefixBytes));
    return begin + kPrefixBytes + size;
  });
  return {};
}

base::Task<base::Result<void>> begin_stream(net::Response& response, const CallHead& head) {
  response.header("grpc-accept-encoding", kCodings);
  if (head.answer_coding != Coding::kIdentity) response.header("grpc-encoding", name(head.answer_coding));
  return response.begin(200, kType);
}

base::Task<void> end_stream(net::Response& response, const base::Result<void>& outcome) {
  if (outcome) {
    response.trailer("grpc-status", "0");
  } else {
    add_status(response, outcome.error(), true);
  }
  std::ignore = co_await response.end();
}

namespace detail {

google::protobuf::ArenaOptions arena_options() {
  constexpr size_t kBlock = 8192;
  thread_local const auto block = std::make_unique<char[]>(kBlock);
  google::protobuf::ArenaOptions options;
  options.initial_block = block.get();
  options.initial_block_size = kBlock;
  return options;
}

net::Handler unary(DoorPtr door, Parse call) {
  return [door = std::move(door), call = std::move(call)](net::Request& request,
                                                          net::Response& response) -> base::Task<void> {
    const auto head = read_call_head(request, response);
    if (!head) co_return write_grpc_error(response, head.error());
    base::Result<std::string> read;
    auto body = request.body_at_hand();
    if (!body) {
      read = co_await request.read_body();
      if (!read) co_return write_grpc_error(response, read.error());
      body = *read;
    }
    std::string out, unpacked;
    base::Result<void> done;
    if (const int64_t deadline_us = request.ctx.deadline_mono_us;
        deadline_us != 0 && base::system_clock().mono_us() > deadline_us) {
      done = base::fail(base::Code::kDeadline, "the call's time was over before it was read");
    } else if (auto message = only_message(*body, head->coding, unpacked); !message) {
      done = std::unexpected(std::move(message).error());
    } else {
      done = call(*door, request, response, *message, head->answer_coding, out);
      if (const auto lane = take_detour()) [[unlikely]] {
        done = co_await run_in_lane(*door, *lane, request,
                                    [&] { return call(*door, request, response, *message, head->answer_coding, out); });
      }
    }
    if (!done) co_return write_grpc_error(response, done.error());
    response.header("grpc-accept-encoding", kCodings);
    if (head->answer_coding != Coding::kIdentity) response.header("grpc-encoding", name(head->answer_coding));
    response.trailer("grpc-status", "0");
    response.send(200, kType, std::move(out));
  };
}

}  // namespace detail

void add_unknown_call(net::RouteTable& routes, std::string_view service, const DoorPtr&) {
  routes.add({net::Method::kPost,
              "/" + std::string(service) + "/{method}",
              net::Protocol::kGrpc,
              base::Permission::kInfer,
              {.body_bytes = kMessageBytes},
              [](net::Request& request, net::Response& response) -> base::Task<void> {
                write_grpc_error(response,
                                 base::fail(base::Code::kUnsupported,
                                            "the service has no call '" + std::string(request.param("method")) + "'")
                                     .error());
                co_return;
              }});
}

void add_grpc_routes(net::RouteTable& routes, net::ErrorWriters& errors, const DoorPtr& door) {
  errors.set(net::Protocol::kGrpc, [](net::Response& response, const base::Error& error, std::string_view) {
    write_grpc_error(response, error);
  });
  google::protobuf::SetLogHandler(nullptr);  // what is wrong with a message is told to its sender, not to our stderr
  add_grpc_inference_routes(routes, door);
  add_grpc_tfserving_routes(routes, door);
  add_grpc_health_routes(routes, door);
  add_grpc_reflection_routes(routes, door);
}

}  // namespace api::inference
