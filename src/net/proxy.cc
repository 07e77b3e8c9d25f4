#include "net/proxy.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/loop.h"
#include "net/limits.h"
#include "net/proxy_headers.h"
#include "net/response_parser.h"
#include "net/text.h"

namespace net {
namespace {

constexpr size_t kBufferBytes = 16 << 10;
constexpr size_t kWholeBytes = 64 << 10;  // an answer that came at once and is not longer leaves in one write

std::unexpected<base::Error> gone() { return base::fail(base::Code::kCancelled, "the request was cancelled"); }

std::unexpected<base::Error> nonsense(std::string_view what) {
  return base::fail(base::Code::kUnavailable, "the server behind this one " + std::string(what));
}

// One connection to a backend, with the buffers that it keeps from request to request.
struct Connection {
  explicit Connection(std::atomic<size_t>& open) : open_connections(open) {}
  ~Connection() { open_connections.fetch_sub(1, std::memory_order_relaxed); }
  Connection(const Connection&) = delete;

  std::atomic<size_t>& open_connections;
  std::unique_ptr<Stream> stream;
  ResponseParser parser;
  std::array<char, kBufferBytes> buffer;
  std::string_view input;  // of buffer: read, not yet parsed
  std::string out;
  int64_t idle_since_us = 0;
};
using ConnectionPtr = std::unique_ptr<Connection>;

// Idle connections of one loop. Thread: that loop's.
class Kept {
 public:
  ConnectionPtr take(const Backend& backend, int64_t now_us) {
    auto* shelf = find(backend);
    while (shelf != nullptr && !shelf->idle.empty()) {
      ConnectionPtr connection = std::move(shelf->idle.back());
      shelf->idle.pop_back();
      if (now_us - connection->idle_since_us < limits::kProxyIdleUs && !connection->stream->peer_gone())
        return connection;
    }
    return nullptr;
  }
  void keep(const Backend& backend, ConnectionPtr connection, int64_t now_us) {
    auto* shelf = find(backend);
    if (shelf == nullptr) shelf = &shelves_.emplace_back(Shelf{backend, {}});
    if (shelf->idle.size() >= limits::kProxyIdle) shelf->idle.erase(shelf->idle.begin());
    connection->idle_since_us = now_us;
    shelf->idle.push_back(std::move(connection));
  }
  void forget(const Backend& backend) {
    std::erase_if(shelves_, [&](const Shelf& shelf) { return shelf.backend == backend; });
  }

 private:
  struct Shelf {
    Backend backend;
    std::vector<ConnectionPtr> idle;  // used last at the end
  };
  Shelf* find(const Backend& backend) {
    const auto at = std::ranges::find(shelves_, backend, &Shelf::backend);
    return at == shelves_.end() ? nullptr : &*at;
  }
  std::vector<Shelf> shelves_;  // a few: one per backend
};

}  // namespace

struct Proxy::Impl {
  explicit Impl(base::Registry& metrics)
      : requests(metrics.counter("lathe_proxy_requests_total", "Requests handed on to a backend")),
        failures(metrics.counter("lathe_proxy_failures_total", "Requests that no backend answered")) {
    metrics.gauge_fn("lathe_proxy_tunnels", "Open WebSockets to backends", [this] { return double(tunnels.load()); });
  }

  Kept& kept_here() {
    base::Loop* loop = base::Loop::current();
    ASSERT_ALWAYS(loop != nullptr);
    std::lock_guard guard(mutex);
    auto& slot = kept[loop];
    if (!slot) slot = std::make_unique<Kept>();
    return *slot;
  }

  const base::Clock& clock = base::system_clock();
  base::Counter& requests;
  base::Counter& failures;
  std::atomic<size_t> tunnels{0};
  std::atomic<size_t> open{0};
  std::mutex mutex;  // of the map; what it holds belongs to the loops
  std::unordered_map<base::Loop*, std::unique_ptr<Kept>> kept;
};

namespace {

// Both streams of a tunnel: whoever ends in error ends both.
class Tunnel {
 public:
  Tunnel(Stream& client, Stream& backend, std::stop_token cancelled)
      : client_(client), backend_(backend), cancelled_(std::move(cancelled)) {}

  // What was read already goes first; `buffer` is for the backend's bytes.
  base::Task<void> run(std::string from_backend, std::string from_client, std::span<char> buffer) {
    const std::stop_callback stop(cancelled_, [this] { end(); });
    auto own = std::make_unique<char[]>(kBufferBytes);
    base::TaskScope scope;
    scope.spawn(pump(client_, backend_, {own.get(), kBufferBytes}, from_client));
    co_await pump(backend_, client_, buffer, from_backend);
    co_await scope.join();
    if (timer_) loop_.cancel(*timer_);
  }

 private:
  void end() {
    ended_ = true;
    client_.cancel();
    backend_.cancel();
  }

  // Reads no more than it could write: a slow reader slows its writer down.
  base::Task<void> pump(Stream& from, Stream& to, std::span<char> buffer, std::string_view first) {
    if (!first.empty() && (co_await to.write(first)).error != 0) co_return end();
    while (!ended_) {
      const auto read = co_await from.read_some(buffer);
      if (read.error != 0) co_return end();
      if (read.bytes == 0) break;
      if (ended_ || (co_await to.write({buffer.data(), read.bytes})).error != 0) co_return end();
    }
    // One side has ended; the other may say its last word, but not for ever.
    to.shutdown_write();
    if (!timer_) timer_ = loop_.after(limits::kTunnelEndUs, [this] { end(); });
  }

  base::Loop& loop_ = *base::Loop::current();
  std::optional<base::Loop::TimerId> timer_;
  Stream& client_;
  Stream& backend_;
  std::stop_token cancelled_;
  bool ended_ = false;
};

class Exchange {
 public:
  Exchange(Proxy::Impl& proxy, Request& request, Response& response, Backend backend, std::vector<Header> set)
      : proxy_(proxy), request_(request), response_(response), backend_(std::move(backend)), set_(std::move(set)) {}

  base::Task<base::Result<void>> run() {
    // A kept connection may be closed by its backend just as it is used. Then a request that may be repeated is, once;
    // one that may not gets a connection of its own.
    const bool repeatable =
        (request_.method == Method::kGet || request_.method == Method::kHead || request_.method == Method::kOptions) &&
        request_.content_length == 0;
    auto done = co_await attempt(repeatable);
    if (!done && repeatable && reused_ && !heard_ && !request_.ctx.cancelled.stop_requested())
      done = co_await attempt(false);
    co_return done;
  }

 private:
  struct CancelStream {
    Stream* stream;
    void operator()() const { stream->cancel(); }
  };

  base::Task<base::Result<void>> attempt(bool may_reuse) {
    CO_TRY(co_await connect_backend(may_reuse));
    auto done = [&]() -> base::Task<base::Result<void>> {
      const std::stop_callback stop(request_.ctx.cancelled, CancelStream{connection_->stream.get()});
      co_return co_await converse();
    };
    auto result = co_await done();
    if (result && reusable_) {
      proxy_.kept_here().keep(backend_, std::move(connection_), proxy_.clock.mono_us());
    }
    connection_.reset();
    co_return result;
  }

  base::Task<base::Result<void>> connect_backend(bool may_reuse) {
    reused_ = reusable_ = false;
    if (may_reuse) connection_ = proxy_.kept_here().take(backend_, proxy_.clock.mono_us());
    if (connection_) {
      reused_ = true;
      co_return base::Result<void>{};
    }
    if (proxy_.open.fetch_add(1, std::memory_order_relaxed) >= limits::kProxyConnections) {
      proxy_.open.fetch_sub(1, std::memory_order_relaxed);
      co_return base::fail(base::Code::kTooMany, "too many connections to the servers behind this one; try again");
    }
    auto made = std::make_unique<Connection>(proxy_.open);
    CO_TRY_SET(made->stream, co_await connect(backend_, request_.ctx.cancelled));
    connection_ = std::move(made);
    co_return base::Result<void>{};
  }

  base::Task<base::Result<void>> converse() {
    Connection& backend = *connection_;
    backend.parser.begin(request_.method == Method::kHead);
    backend.input = {};
    backend.out.clear();
    const bool upgrade = asks_for_upgrade(request_);
    write_request_head(backend.out, request_, set_, upgrade);
    CO_TRY(co_await send_request());
    while (backend.parser.state() == ResponseParser::State::kHead) CO_TRY(co_await read_more());
    if (backend.parser.state() == ResponseParser::State::kSwitched) {
      if (!upgrade) co_return nonsense("switched protocols unasked");
      co_return co_await tunnel();
    }
    co_return co_await answer();
  }

  base::Task<base::Result<void>> send_request() {
    Connection& backend = *connection_;
    if (request_.content_length == 0) co_return co_await send(backend.out);
    const bool chunked = !request_.content_length;
    for (bool more = true; more;) {
      auto piece = co_await request_.read_some(backend.buffer);
      if (!piece) co_return std::unexpected(std::move(piece).error());
      more = *piece != 0;
      if (chunked) append_chunk_size(backend.out, *piece);
      backend.out.append(backend.buffer.data(), *piece);
      if (chunked) backend.out.append("\r\n");
      if (!more && backend.out.empty()) break;
      // A backend that refuses a body stops reading it. Its answer says why; the rest of the body is not for it.
      if (auto sent = co_await send(backend.out); !sent) {
        if (request_.ctx.cancelled.stop_requested()) co_return sent;
        refused_ = true;
        break;
      }
      backend.out.clear();
    }
    co_return base::Result<void>{};
  }

  base::Task<base::Result<void>> send(std::string_view bytes) {
    if (request_.ctx.cancelled.stop_requested()) co_return gone();
    const auto written = co_await connection_->stream->write(bytes);
    if (written.error == ECANCELED) co_return gone();
    if (written.error != 0) co_return nonsense("closed the connection");
    co_return base::Result<void>{};
  }

  // Another piece of the answer, parsed.
  base::Task<base::Result<void>> read_more() {
    Connection& backend = *connection_;
    if (backend.input.empty()) {
      if (request_.ctx.cancelled.stop_requested()) co_return gone();
      const auto read = co_await backend.stream->read_some(backend.buffer);
      if (read.error == ECANCELED) co_return gone();
      if (read.error != 0) co_return nonsense("broke the connection before its answer was complete");
      if (read.bytes == 0) {
        if (backend.parser.finish() == ResponseParser::State::kFailed)
          co_return nonsense("closed the connection before its answer was complete");
        co_return base::Result<void>{};
      }
      heard_ = true;
      backend.input = {backend.buffer.data(), read.bytes};
    }
    if (backend.parser.feed(backend.input) == ResponseParser::State::kFailed)
      co_return nonsense("gave an answer that is not well-formed HTTP");
    co_return base::Result<void>{};
  }

  base::Task<base::Result<void>> answer() {
    using State = ResponseParser::State;
    ResponseParser& parser = connection_->parser;
    const std::string type = copy_answer_headers(parser.headers(), response_);
    size_t size = 0;
    for (auto slice : parser.slices()) size += slice.size();
    if (parser.state() == State::kComplete && size <= kWholeBytes && request_.method != Method::kHead) {
      std::string body;
      body.reserve(size);
      for (auto slice : parser.slices()) body.append(slice);
      response_.send(parser.status(), type, std::move(body));
    } else {
      CO_TRY(co_await response_.begin(parser.status(), type, parser.content_length()));
      for (;;) {
        for (auto slice : parser.slices()) {
          if (!co_await response_.write(slice)) co_return base::Result<void>{};
        }
        if (parser.state() == State::kComplete) break;
        // Cut off in the middle: the answer has begun, so the client is cut off as well.
        if (auto more = co_await read_more(); !more) {
          if (more.error().code != base::Code::kCancelled)
            base::log::warn("an answer was cut off",
                            {{"request", request_.ctx.request_id}, {"why", more.error().message}});
          co_return base::Result<void>{};
        }
      }
      CO_TRY(co_await response_.end());
    }
    reusable_ = parser.keep_alive() && !refused_ && connection_->input.empty();
    co_return base::Result<void>{};
  }

  base::Task<base::Result<void>> tunnel() {
    Connection& backend = *connection_;
    copy_upgrade_headers(backend.parser.headers(), response_);
    CO_TRY_SET(Upgraded client, co_await response_.switch_protocols());
    proxy_.tunnels.fetch_add(1, std::memory_order_relaxed);
    Tunnel both(*client.stream, *backend.stream, request_.ctx.cancelled);
    co_await both.run(std::string(backend.input), std::move(client.early), backend.buffer);
    proxy_.tunnels.fetch_sub(1, std::memory_order_relaxed);
    co_return base::Result<void>{};
  }

  Proxy::Impl& proxy_;
  Request& request_;
  Response& response_;
  Backend backend_;
  std::vector<Header> set_;
  ConnectionPtr connection_;
  bool reused_ = false;    // it served an earlier request
  bool heard_ = false;     // a byte of the answer has come
  bool refused_ = false;   // the backend did not take the whole body
  bool reusable_ = false;  // the exchange came to its proper end
};

}  // namespace

Proxy::Proxy(base::Registry& metrics) : impl_(std::make_unique<Impl>(metrics)) {}
Proxy::~Proxy() = default;

base::Task<base::Result<void>> Proxy::forward(Request& request, Response& response, Backend backend,
                                              std::vector<Header> set) {
  impl_->requests.add();
  Exchange exchange(*impl_, request, response, std::move(backend), std::move(set));
  auto done = co_await exchange.run();
  if (!done && done.error().code != base::Code::kCancelled) impl_->failures.add();
  co_return done;
}

void Proxy::forget(const Backend& backend) {
  std::lock_guard guard(impl_->mutex);
  for (auto& [loop, kept] : impl_->kept) loop->post([k = kept.get(), backend] { k->forget(backend); });
}

}  // namespace net
