// A streamed answer whose bytes come from something that blocks. Thread: the connection's loop; `next` runs on the
// pool.
#pragma once

#include <string>

#include "base/task.h"
#include "net/http.h"
#include "net/offload.h"

namespace net {

// `next` → Result<std::string>, "" at the end; it stays valid until then. After begin(), before end().
template <class F>
base::Task<base::Result<void>> send_pieces(Response& response, Offload& offload, F& next) {
  for (;;) {
    auto pull = [&next] { return next(); };
    const auto piece = co_await offload.run(pull);
    if (!piece) co_return std::unexpected(piece.error());
    if (piece->empty()) co_return base::Result<void>();
    CO_TRY(co_await response.write(*piece));
  }
}

}  // namespace net
