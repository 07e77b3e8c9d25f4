// The ceiling of large tensors: the same epoll loop, a body received, copied once into its answer, and sent. No server
// that holds a whole tensor before it answers can do with less.
//
//   copy_ceiling [PORT]     prints "http://127.0.0.1:PORT"; POST anything, it comes back
#include <cstdlib>
#include <string>

#include "bare_server.h"

namespace {

struct Connection {
  std::string head;
  std::string answer;
  size_t left = 0;  // of the body
};

// False ends the connection. One request at a time: no pipelining.
bool hear(Connection& c, std::string_view bytes, std::string& out) {
  if (c.left == 0) {
    c.head.append(bytes);
    const size_t end = c.head.find("\r\n\r\n");
    if (end == std::string::npos) return c.head.size() < 16384;
    const size_t field = c.head.find("\nContent-Length: ");
    if (field > end) return false;
    c.left = std::strtoul(c.head.c_str() + field + 17, nullptr, 10);
    bytes.remove_prefix(bytes.size() - (c.head.size() - end - 4));
    c.head.clear();
    c.answer = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(c.left) + "\r\n\r\n";
    c.answer.reserve(c.answer.size() + c.left);
  }
  if (bytes.size() > c.left) return false;
  c.answer.append(bytes);
  c.left -= bytes.size();
  if (c.left == 0) out.swap(c.answer);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  bench::run_server(argc > 1 ? std::atoi(argv[1]) : 0, [] { return Connection(); }, hear);
}
