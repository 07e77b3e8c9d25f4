// What of a request's and an answer's headers passes through the proxy. Thread: pure functions.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace net {

bool asks_for_upgrade(const Request& request);

// The request's head for the backend: same method, target and Host; without the client's credentials and hop-by-hop
// headers; with X-Forwarded-For, -Proto and -Host, and with `set` in place of the client's headers of those names.
void write_request_head(std::string& out, const Request& request, std::span<const Header> set, bool upgrade);

void append_chunk_size(std::string& out, size_t bytes);

// Puts a backend's headers into the answer, but for hop-by-hop ones, those this server writes itself, and cookies of
// our names. Answers the content type.
std::string copy_answer_headers(std::span<const Header> headers, Response& response);
void copy_upgrade_headers(std::span<const Header> headers, Response& response);  // those of a 101

}  // namespace net
