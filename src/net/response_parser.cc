#include "net/response_parser.h"

namespace net {

ResponseParser::ResponseParser() {
  llhttp_init(&llhttp_, HTTP_RESPONSE, &settings());
  llhttp_.data = this;
}

const llhttp_settings_t& ResponseParser::settings() {
  static const llhttp_settings_t table = [] {
    llhttp_settings_t s;
    llhttp_settings_init(&s);
    s.on_header_field = [](llhttp_t* p, const char* at, size_t n) { return self(p).on_field({at, n}); };
    s.on_header_value = [](llhttp_t* p, const char* at, size_t n) {
      ResponseParser& me = self(p);
      return me.head_done_ ? 0 : me.take(me.headers_.back().second, {at, n});
    };
    s.on_header_field_complete = [](llhttp_t* p) {
      self(p).field_open_ = false;
      return 0;
    };
    s.on_headers_complete = [](llhttp_t* p) { return self(p).on_head_complete(); };
    s.on_body = [](llhttp_t* p, const char* at, size_t n) {
      self(p).slices_.emplace_back(at, n);
      return 0;
    };
    s.on_message_complete = [](llhttp_t* p) { return self(p).on_complete(); };
    return s;
  }();
  return table;
}

int ResponseParser::take(std::string& into, std::string_view part) {
  head_bytes_ += part.size();
  if (head_bytes_ > kHeadBytes) return -1;
  into.append(part);
  return 0;
}

int ResponseParser::on_field(std::string_view part) {
  if (head_done_) return 0;  // a trailer
  if (!field_open_) {
    field_open_ = true;
    if (headers_.size() >= kHeaders) return -1;
    headers_.emplace_back();
  }
  return take(headers_.back().first, part);
}

int ResponseParser::on_head_complete() {
  head_done_ = true;
  if (llhttp_.status_code < 100) return -1;  // nothing that could be passed on
  if (llhttp_.status_code / 100 == 1 && llhttp_.status_code != 101) return 0;
  if ((llhttp_.flags & F_CONTENT_LENGTH) != 0) content_length_ = llhttp_.content_length;
  keep_alive_ = llhttp_should_keep_alive(&llhttp_) != 0;
  state_ = State::kBody;
  return answers_head_ ? 1 : 0;
}

int ResponseParser::on_complete() {
  if (llhttp_.status_code == 101) {
    state_ = State::kSwitched;
  } else if (llhttp_.status_code / 100 == 1) {
    forget();
    return 0;
  } else {
    state_ = State::kComplete;
  }
  return HPE_PAUSED;
}

void ResponseParser::forget() {
  headers_.clear();
  content_length_.reset();
  field_open_ = head_done_ = keep_alive_ = false;
  head_bytes_ = 0;
}

void ResponseParser::begin(bool answers_head) {
  forget();
  slices_.clear();
  answers_head_ = answers_head;
  state_ = State::kHead;
  llhttp_reset(&llhttp_);
}

ResponseParser::State ResponseParser::feed(std::string_view& bytes) {
  slices_.clear();
  if (state_ != State::kHead && state_ != State::kBody) return state_;
  const llhttp_errno_t rc = llhttp_execute(&llhttp_, bytes.data(), bytes.size());
  if (rc == HPE_OK) {
    bytes = {};
    return state_;
  }
  const char* stop = llhttp_get_error_pos(&llhttp_);
  const size_t used = stop == nullptr ? bytes.size() : static_cast<size_t>(stop - bytes.data());
  bytes.remove_prefix(std::min(used, bytes.size()));
  if (rc == HPE_PAUSED_UPGRADE && llhttp_.status_code == 101) {
    state_ = State::kSwitched;
  } else if (state_ != State::kComplete && state_ != State::kSwitched) {
    state_ = State::kFailed;
  }
  return state_;
}

ResponseParser::State ResponseParser::finish() {
  slices_.clear();
  if (state_ == State::kHead ||
      (state_ == State::kBody && llhttp_finish(&llhttp_) != HPE_OK && state_ == State::kBody)) {
    state_ = State::kFailed;
  }
  keep_alive_ = false;
  return state_;
}

}  // namespace net
