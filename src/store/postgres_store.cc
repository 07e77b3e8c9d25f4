#include "store/jobs.h"
namespace store::detail {
base::Result<std::unique_ptr<Store>> open_postgres(const Options&, std::span<const ModuleMigrations>, base::Registry*) {
  return base::fail(base::Code::kUnsupported, "PostgreSQL is not built yet");
}
}
