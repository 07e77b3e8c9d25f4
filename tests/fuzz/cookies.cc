// Who a request says it is: Host, Origin, cookies, Authorization and a proxy's headers, each as the input has it.
#include "fuzz.h"
#include "net/access.h"
#include "request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static constexpr std::string_view kNames[] = {
      "host",           "cookie",          "authorization",     "origin",
      "sec-fetch-site", "x-forwarded-for", "x-forwarded-proto", "sec-fetch-mode"};
  fuzz::Input input(data, size);
  const uint8_t how = input.byte();
  const net::AccessPolicy policy{.loopback_only = (how & 1) != 0,
                                 .require_login = (how & 2) != 0,
                                 .allowed_hosts = {"models.example.org", "*.example.net"}};
  fuzz::HeadOnly request;
  request.method = how & 16 ? net::Method::kPost : net::Method::kGet;
  request.peer.address = "127.0.0.1:40000";
  request.peer.secure = (how & 4) != 0;
  request.peer.is_proxy = (how & 8) != 0;
  while (!input.empty()) {
    const size_t which = input.byte() % std::size(kNames);
    request.headers.emplace_back(kNames[which], std::string(input.text()));
  }
  (void)net::is_allowed_host(policy, request.header("host"));
  const auto presented = net::read_presented(policy, request);
  if (!presented) {
    REQUIRE(!presented.error().message.empty());
    return 0;
  }
  if (presented->kind == net::Presented::Kind::kSession) {
    REQUIRE(!presented->secret.empty());
    REQUIRE(presented->secret.find(';') == presented->secret.npos);
  }
  REQUIRE(request.peer.is_proxy || presented->address == "127.0.0.1");
  return 0;
}
