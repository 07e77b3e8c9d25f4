// ResponseParser: an HTTP/1.1 answer as it comes from a backend, llhttp underneath. Interim answers (100, 103) are
// skipped. Body bytes are not copied: slices point into the bytes that were fed, until the next feed().
// Thread: its connection's.
#pragma once

#include <llhttp.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace net {

class ResponseParser {
 public:
  enum class State : uint8_t {
    kHead,
    kBody,      // status and headers are known
    kComplete,  // what is left of the bytes is not this answer's
    kSwitched,  // 101: what is left is the new protocol's
    kFailed,
  };
  static constexpr size_t kHeadBytes = 64 << 10;
  static constexpr size_t kHeaders = 256;

  ResponseParser();
  ResponseParser(const ResponseParser&) = delete;

  void begin(bool answers_head);  // before each answer; to HEAD there is no body, whatever its headers say
  State feed(std::string_view& bytes);
  State finish();  // the backend has closed its side
  State state() const { return state_; }

  int status() const { return llhttp_.status_code; }
  const std::vector<Header>& headers() const { return headers_; }  // names as sent
  const std::optional<uint64_t>& content_length() const { return content_length_; }
  const std::vector<std::string_view>& slices() const { return slices_; }
  bool keep_alive() const { return keep_alive_; }  // once complete: the connection may be used again

 private:
  static const llhttp_settings_t& settings();
  static ResponseParser& self(llhttp_t* p) { return *static_cast<ResponseParser*>(p->data); }
  int take(std::string& into, std::string_view part);
  int on_field(std::string_view part);
  int on_head_complete();
  int on_complete();
  void forget();

  llhttp_t llhttp_;
  State state_ = State::kHead;
  std::vector<Header> headers_;
  std::optional<uint64_t> content_length_;
  std::vector<std::string_view> slices_;
  size_t head_bytes_ = 0;
  bool answers_head_ = false;
  bool field_open_ = false;
  bool head_done_ = false;
  bool keep_alive_ = false;
};

}  // namespace net
