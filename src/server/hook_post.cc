#include "server/hook_post.h"

#include <charconv>

#include "hooks/public_address.h"
#include "net/client.h"

namespace server {
namespace {

// Seconds; the form with a date is not worth its parser, and waits as if there was none.
std::optional<int64_t> retry_after_us(const net::ClientResponse& response) {
  const std::string_view text = response.header("retry-after");
  uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return int64_t{seconds} * 1'000'000;
}

}  // namespace

hooks::Post hook_post() {
  return [](const hooks::Parcel& parcel) -> base::Result<hooks::Answer> {
    net::Client client;  // of this call alone: nothing is kept from one receiver to the next
    net::ClientRequest request;
    request.method = "POST";
    request.url = parcel.url;
    request.headers = parcel.headers;
    request.body = parcel.body;
    request.timeout_us = parcel.timeout_us;
    request.cancelled = parcel.cancelled;
    request.may_connect = [&parcel](const sockaddr& address) {
      return !parcel.public_only || hooks::is_public(address);
    };
    hooks::Answer answer;
    const auto keep = [&answer](std::string_view bytes) {
      answer.body.append(bytes.substr(0, hooks::kAnswerBytes - answer.body.size()));
      return answer.body.size() < hooks::kAnswerBytes;
    };
    auto response = client.stream(request, keep);
    if (!response) {
      if (response.error().code != base::Code::kForbidden) return std::unexpected(std::move(response).error());
      return base::fail(base::Code::kForbidden,
                        "Webhook connection blocked: the host's address is not a public IP address");
    }
    answer.status = response->status;
    answer.retry_after_us = retry_after_us(*response);
    return answer;
  };
}

}  // namespace server
