#include "base/result.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/assert.h"

namespace base {

std::string_view name(Code code) {
  switch (code) {
    case Code::kInvalid: return "invalid";
    case Code::kUnauthenticated: return "unauthenticated";
    case Code::kForbidden: return "forbidden";
    case Code::kNotFound: return "not-found";
    case Code::kConflict: return "conflict";
    case Code::kAlreadyExists: return "already-exists";
    case Code::kTooLarge: return "too-large";
    case Code::kTooMany: return "too-many";
    case Code::kUnsupported: return "unsupported";
    case Code::kUnavailable: return "unavailable";
    case Code::kDeadline: return "deadline";
    case Code::kCancelled: return "cancelled";
    case Code::kInternal: return "internal";
  }
  return "internal";
}

std::unexpected<Error> errno_error(std::string_view what, int error) {
  Code code = Code::kInternal;
  if (error == ENOENT || error == ENOTDIR) code = Code::kNotFound;
  if (error == EACCES || error == EPERM || error == EROFS) code = Code::kForbidden;
  if (error == EEXIST) code = Code::kAlreadyExists;
  if (error == ENOSPC || error == EDQUOT || error == EMFILE || error == ENFILE || error == ENOMEM)
    code = Code::kUnavailable;
  char buffer[128];
  return fail(code, std::string(what) + ": " + strerror_r(error, buffer, sizeof buffer));
}

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: this must hold and does not: %s\n", file, line, expression);
  std::abort();
}

}  // namespace base
