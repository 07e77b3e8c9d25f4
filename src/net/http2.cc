#include "net/http2.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "net/http2_internal.h"
#include "net/peer.h"

namespace net {
namespace {

constexpr size_t kInputBytes = 32 << 10;
constexpr size_t kOutBytes = 64 << 10;    // collected for one write
constexpr size_t kKeepBytes = 128 << 10;  // a buffer that grew beyond this is given back

std::string_view text(const uint8_t* bytes, size_t size) { return {reinterpret_cast<const char*>(bytes), size}; }

struct Freed {
  void operator()(nghttp2_session_callbacks* c) const { nghttp2_session_callbacks_del(c); }
  void operator()(nghttp2_option* o) const { nghttp2_option_del(o); }
};

// Frames that cost the peer almost nothing. Each has its uses; a flood of them has none.
bool is_cheap(const nghttp2_frame_hd& frame) {
  switch (frame.type) {
    case NGHTTP2_DATA: return frame.length == 0 && (frame.flags & NGHTTP2_FLAG_END_STREAM) == 0;
    case NGHTTP2_HEADERS: return false;
    case NGHTTP2_WINDOW_UPDATE: return false;  // one for every frame or two that it takes
    default: return true;
  }
}

// Resumes from the loop: whoever awaits it is not inside a call of somebody whom it is about to destroy.
struct FromLoop {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) const {
    base::Loop::current()->post([handle] { handle.resume(); });
  }
  void await_resume() const noexcept {}
};

}  // namespace

// nghttp2 speaks to us from inside nghttp2_session_mem_recv and _send: what is told here is written down, and acted
// upon in settle().
struct Http2Connection::Impl::Callbacks {
  static Impl& self(void* user) { return *static_cast<Impl*>(user); }
  static Http2Stream* stream_of(nghttp2_session* session, int32_t id) {
    return static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int begin_frame(nghttp2_session*, const nghttp2_frame_hd* frame, void* user) {
    if (is_cheap(*frame)) self(user).spend_cheap();
    return 0;
  }

  static int begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Impl& impl = self(user);
    impl.head_open_ = true;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    Http2Stream* stream = impl.obtain(frame->hd.stream_id);
    if (stream == nullptr) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
      return 0;
    }
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
  }

  static int header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                    const uint8_t* value, size_t value_size, uint8_t, void*) {
    Http2Stream* stream = stream_of(session, frame->hd.stream_id);
    if (stream == nullptr || stream->on_header(text(name, name_size), text(value, value_size))) return 0;
    nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int invalid_header(nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t, const uint8_t*, size_t,
                            uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // refused, not ignored: PROTOCOL_ERROR for the stream
  }

  static int frame_received(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Impl& impl = self(user);
    if (frame->hd.type == NGHTTP2_SETTINGS) impl.greeted_ = true;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS) impl.head_open_ = false;
    Http2Stream* stream = stream_of(session, frame->hd.stream_id);
    if (stream == nullptr) return 0;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) stream->body_ended = true;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      stream->on_head_end();
      stream->queued = true;
      impl.starting_.push_back(stream);
    } else {
      stream->wake();
    }
    return 0;
  }

  static int data(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* bytes, size_t size, void*) {
    Http2Stream* stream = stream_of(session, id);
    if (stream == nullptr) return nghttp2_session_consume(session, id, size);
    stream->on_data(text(bytes, size));
    stream->wake();
    return 0;
  }

  static int frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_GOAWAY) self(user).goaway_ = true;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    Http2Stream* stream = stream_of(session, frame->hd.stream_id);
    if (stream != nullptr) stream->on_answer_sent();
    return 0;
  }

  static int stream_closed(nghttp2_session* session, int32_t id, uint32_t, void* user) {
    Http2Stream* stream = stream_of(session, id);
    if (stream == nullptr || std::exchange(stream->closed, true)) return 0;
    self(user).closing_.push_back(stream);
    return 0;
  }
};

Http2Connection::Impl::Impl(ServerShared& s, std::unique_ptr<Stream> stream, Peer p, std::string read)
    : shared(s),
      peer(std::move(p)),
      stream_(std::move(stream)),
      input_(std::move(read)),
      buffer_(std::make_unique<char[]>(kInputBytes)) {
  open_session();
}

Http2Connection::Impl::~Impl() { nghttp2_session_del(session); }

void Http2Connection::Impl::open_session() {
  nghttp2_session_callbacks* made = nullptr;
  nghttp2_option* options = nullptr;
  ASSERT_ALWAYS(nghttp2_session_callbacks_new(&made) == 0 && nghttp2_option_new(&options) == 0);
  const std::unique_ptr<nghttp2_session_callbacks, Freed> callbacks(made);
  const std::unique_ptr<nghttp2_option, Freed> owned(options);
  nghttp2_session_callbacks_set_on_begin_frame_callback(made, Callbacks::begin_frame);
  nghttp2_session_callbacks_set_on_begin_headers_callback(made, Callbacks::begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(made, Callbacks::header);
  nghttp2_session_callbacks_set_on_invalid_header_callback(made, Callbacks::invalid_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(made, Callbacks::frame_received);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, Callbacks::data);
  nghttp2_session_callbacks_set_on_frame_send_callback(made, Callbacks::frame_sent);
  nghttp2_session_callbacks_set_on_stream_close_callback(made, Callbacks::stream_closed);
  nghttp2_option_set_no_auto_window_update(options, 1);
  nghttp2_option_set_max_outbound_ack(options, limits::kH2Acks);
  nghttp2_option_set_stream_reset_rate_limit(options, limits::kH2Resets, limits::kH2ResetsPerS);
  nghttp2_option_set_max_continuations(options, limits::kH2Continuations);
  ASSERT_ALWAYS(nghttp2_session_server_new2(&session, made, this, options) == 0);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits::kH2Streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits::kH2StreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(shared.limits.header_bytes)},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  ASSERT_ALWAYS(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings)) == 0);
  ASSERT_ALWAYS(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, limits::kH2Window) == 0);
}

bool Http2Connection::Impl::same_user() {
  if (same_user_ < 0) same_user_ = peer_is_same_user(stream_->descriptor()) ? 1 : 0;
  return same_user_ == 1;
}

void Http2Connection::Impl::spend_cheap() {
  if (--cheap_left_ >= 0) return;
  nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
}

// Null: the peer has too many already. Those whose handler is still at work count, too: a peer that makes its streams
// end early, by its resets or by ours, starts no more work than one that waits.
Http2Stream* Http2Connection::Impl::obtain(int32_t id) {
  if (streams_.size() >= limits::kH2Streams) return nullptr;
  if (spares_.empty()) spares_.push_back(std::make_unique<Http2Stream>(*this));
  streams_.push_back(std::move(spares_.back()));
  spares_.pop_back();
  Http2Stream* stream = streams_.back().get();
  stream->begin(id);
  stream->index = streams_.size() - 1;
  return stream;
}

void Http2Connection::Impl::drop(Http2Stream& stream) {
  unsent -= std::exchange(stream.unsent, 0);
  const size_t at = stream.index;
  ASSERT_ALWAYS(streams_[at].get() == &stream);
  auto owned = std::move(streams_[at]);
  if (at + 1 != streams_.size()) {
    streams_[at] = std::move(streams_.back());
    streams_[at]->index = at;
  }
  streams_.pop_back();
  if (spares_.size() < limits::kH2Spares) spares_.push_back(std::move(owned));
}

void Http2Connection::Impl::feed(std::string_view bytes) {
  busy_ = true;
  const ssize_t n = nghttp2_session_mem_recv(session, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (n < 0) {  // not even the preface, out of memory, or a flood
    if (nghttp2_is_fatal(static_cast<int>(n)) != 0) give_up();
    nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR);
  }
  settle();
  busy_ = false;
}

// Acts upon what the callbacks have written down; what happens here may make more of it.
void Http2Connection::Impl::settle() {
  while (!closing_.empty() || !waiting_.empty() || !starting_.empty()) {
    if (!closing_.empty()) {
      Http2Stream* stream = closing_.back();
      closing_.pop_back();
      if (std::exchange(stream->queued, false)) std::erase(starting_, stream);
      if (stream->running) {
        stream->on_closed();
      } else {
        drop(*stream);
      }
    } else if (!waiting_.empty()) {
      const auto handle = waiting_.back();
      waiting_.pop_back();
      handle.resume();
    } else {
      // Who does not take its answers gets no new ones: its requests wait until it does.
      if (unsent > limits::kH2UnsentBytes && !gone) return;
      Http2Stream* stream = starting_.front();
      starting_.erase(starting_.begin());
      stream->queued = false;
      scope_.spawn(stream->serve());
    }
  }
}

void Http2Connection::Impl::kick() {
  if (!busy_ && !pumping_ && !gone) scope_.spawn(pump());
}

void Http2Connection::Impl::fill() {
  for (;;) {
    while (out_.size() < kOutBytes) {
      const uint8_t* bytes = nullptr;
      const ssize_t n = nghttp2_session_mem_send(session, &bytes);
      if (n < 0) return give_up();
      if (n == 0) break;
      out_.append(text(bytes, static_cast<size_t>(n)));
    }
    const bool changed = !closing_.empty() || !waiting_.empty() || !starting_.empty();
    settle();
    if (!changed || out_.size() >= kOutBytes || gone) return;
    if (nghttp2_session_want_write(session) == 0) return;
  }
}

base::Task<void> Http2Connection::Impl::pump() {
  pumping_ = true;
  while (!gone) {
    fill();
    if (out_.empty() || gone) break;
    writing_ = true;
    write_since_us_ = 0;
    const auto written = co_await stream_->write(out_);
    writing_ = false;
    out_.clear();
    if (out_.capacity() > kKeepBytes) out_.shrink_to_fit();
    if (written.error != 0) give_up();
  }
  pumping_ = false;
}

void Http2Connection::Impl::give_up() {
  gone = true;
  if (reading_) stream_->cancel();
}

// Tells every handler, and wakes whoever waits.
void Http2Connection::Impl::stop_all() {
  busy_ = true;
  for (const auto& stream : streams_) {
    if (!std::exchange(stream->closed, true)) closing_.push_back(stream.get());
  }
  settle();
  busy_ = false;
}

base::Task<void> Http2Connection::Impl::run() {
  for (std::string_view input = input_;;) {
    if (!input.empty()) {
      feed(input);
      kick();
    }
    if (gone || timed_out_ || nghttp2_session_want_read(session) == 0) break;
    reading_ = true;
    const auto read = co_await stream_->read_some({buffer_.get(), kInputBytes});
    reading_ = false;
    read_since_sweep_ = true;
    if (read.error != 0 || read.bytes == 0) {
      if (!timed_out_) give_up();
      break;
    }
    input = {buffer_.get(), read.bytes};
  }
  // A last word (GOAWAY) that waits to be taken has the time of a write; everything else ends now.
  if (gone) stream_->cancel();
  stop_all();
  co_await scope_.join();
  if (!gone) co_await linger();
  co_await FromLoop{};
}

// Closing over what the peer still sends would reset the connection and could take our last word with it.
base::Task<void> Http2Connection::Impl::linger() {
  stream_->shutdown_write();
  lingering_ = true;
  write_since_us_ = 0;
  timed_out_ = false;
  for (size_t dropped = 0; dropped < shared.limits.linger_bytes && !timed_out_;) {
    const auto read = co_await stream_->read_some({buffer_.get(), kInputBytes});
    if (read.error != 0 || read.bytes == 0) co_return;
    dropped += read.bytes;
  }
}

void Http2Connection::Impl::sweep(int64_t now_us) {
  const ServerLimits& limits = shared.limits;
  const int64_t passed_us = swept_us_ == 0 ? 0 : now_us - swept_us_;
  swept_us_ = now_us;
  cheap_left_ = std::min(limits::kH2CheapFrames, cheap_left_ + limits::kH2CheapFramesPerS * passed_us / 1'000'000);
  const auto over = [now_us](bool waits, int64_t& since_us, int64_t limit_us) {
    if (!waits) since_us = 0;
    if (waits && since_us == 0) since_us = now_us;
    return waits && now_us - since_us > limit_us;
  };
  const auto end = [this] {
    timed_out_ = true;
    stream_->cancel();
  };
  if (lingering_) {
    const bool hurry = shared.draining.load(std::memory_order_relaxed);
    if (over(true, write_since_us_, hurry ? limits.sweep_us : limits.linger_us)) end();
    return;
  }
  if (gone) return;
  if (writing_) {
    if (stream_->bytes_written() != written_before_) write_since_us_ = 0;
    written_before_ = stream_->bytes_written();
    if (over(true, write_since_us_, limits.write_stall_us)) return abort();
  }
  if (over(head_open_ || !greeted_, head_since_us_, limits.header_read_us)) return end();
  const bool draining = shared.draining.load(std::memory_order_relaxed);
  const bool idle = streams_.empty() && !std::exchange(read_since_sweep_, false);
  if (over(idle, idle_since_us_, limits.idle_us) || (draining && !goaway_)) {
    const int32_t last = nghttp2_session_get_last_proc_stream_id(session);
    nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, nullptr, 0);
    goaway_ = true;
    kick();
  }
  if (nghttp2_session_want_read(session) == 0 && !writing_ && reading_) return end();
  sweeping_.clear();
  for (const auto& stream : streams_) sweeping_.push_back(stream->id);
  for (size_t i = 0; i < sweeping_.size(); ++i) {  // telling a handler to stop may end it, and others, at once
    const auto found = std::ranges::find(streams_, sweeping_[i], [](const auto& s) { return s->id; });
    if (found != streams_.end()) (*found)->sweep(now_us);
  }
  busy_ = true;
  settle();  // wakes who has run out of time, even while a write waits
  busy_ = false;
  kick();
}

void Http2Connection::Impl::abort() {
  give_up();
  stream_->cancel();
}

Http2Connection::Http2Connection(ServerShared& shared, std::unique_ptr<Stream> stream, Peer peer, std::string read)
    : impl_(std::make_unique<Impl>(shared, std::move(stream), std::move(peer), std::move(read))) {}
Http2Connection::~Http2Connection() = default;
base::Task<void> Http2Connection::run() { return impl_->run(); }
void Http2Connection::sweep(int64_t now_us) { impl_->sweep(now_us); }
void Http2Connection::abort() { impl_->abort(); }

}  // namespace net
