// A whole Http2Connection over a stream that gives the input in pieces and takes every answer: frames, header blocks,
// flow control and their limits. With the preface and empty SETTINGS before the input, or without.
#include "net/http2.h"

#include <algorithm>
#include <cstring>

#include "base/clock.h"
#include "base/loop.h"
#include "fuzz.h"

namespace {

class GivenBytes final : public net::Stream {
 public:
  GivenBytes(std::string bytes, size_t piece) : bytes_(std::move(bytes)), piece_(piece) {}
  void cancel() override {}
  void shutdown_write() override {}
  bool peer_gone() const override { return false; }
  uint64_t bytes_written() const override { return written_; }
  int descriptor() const override { return -1; }

 protected:
  bool start_read(std::span<char> into, Pending& op) override {
    const size_t n = std::min({into.size(), piece_, bytes_.size() - at_});
    std::memcpy(into.data(), bytes_.data() + at_, n);
    at_ += n;
    op.outcome = {n, 0};
    return true;
  }
  bool start_write(std::string_view bytes, Pending& op) override {
    written_ += bytes.size();
    op.outcome = {bytes.size(), 0};
    return true;
  }
  bool start_send_file(int, uint64_t, uint64_t, Pending& op) override {
    op.outcome = {0, EINVAL};
    return true;
  }

 private:
  std::string bytes_;
  size_t piece_;
  size_t at_ = 0;
  uint64_t written_ = 0;
};

class NoAccess final : public net::Access {
 public:
  net::Fingerprint fingerprint(const net::Presented&) const override { return {}; }
  bool is_current(const net::Grant&) const override { return false; }
  base::Task<base::Result<std::shared_ptr<const net::Grant>>> admit(const net::Request&,
                                                                    const net::Presented&) override {
    co_return base::fail(base::Code::kUnauthenticated, "nobody");
  }
};

net::RouteTable routes() {
  net::RouteTable table;
  const auto echo = [](net::Request& request, net::Response& response) -> base::Task<void> {
    for (const auto& [name, value] : request.headers) {
      REQUIRE(name.find_first_of("\r\n ") == name.npos);
      REQUIRE(value.find_first_of("\r\n") == value.npos);
    }
    REQUIRE(request.has_header("host"));
    auto body = co_await request.read_body();
    if (body) {
      REQUIRE(body->size() <= 1000);
      response.trailer("x-trailer", "1");
      response.send(200, "text/plain", *body);
    } else {
      response.send(net::http_status(body.error().code), "text/plain", body.error().message);
    }
  };
  for (net::Method method : {net::Method::kGet, net::Method::kPost}) {
    table.add({method, "/{path...}", net::Protocol::kLathe, base::Permission::kNone, {.body_bytes = 1000}, echo});
    table.add({method, "/secret", net::Protocol::kLathe, base::Permission::kRead, {.body_bytes = 1000}, echo});
  }
  return table;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static base::Registry metrics;
  static const net::RouteTable table = routes();
  static const net::ErrorWriters errors;
  static NoAccess access;
  static net::ServerShared& shared = *[] {
    auto* made = new net::ServerShared(net::ServerLimits{}, base::system_clock(), metrics);
    made->routes = &table, made->errors = &errors, made->access = &access;
    return made;
  }();
  fuzz::Input input(data, size);
  const uint8_t how = input.byte();
  std::string bytes;
  if (how & 1) bytes.assign("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  bytes += input.rest();
  const size_t piece = how & 2 ? 1 + (how >> 2) : bytes.size() + 1;
  base::run_blocking([](std::string given, size_t step) -> base::Task<void> {
    net::Http2Connection connection(shared, std::make_unique<GivenBytes>(std::move(given), step), {}, "");
    co_await connection.run();
  }(std::move(bytes), piece));
  REQUIRE(shared.in_flight == 0);
  return 0;
}
