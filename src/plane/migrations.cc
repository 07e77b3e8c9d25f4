#include "plane/migrations.h"

namespace plane {
namespace {

// `writer`: the number within the ids of predictions that were made there, given once and for ever. `report`: what the
// plane last said of itself (planes.h).
constexpr store::Migration kMigrations[] = {
    store::Migration{1, R"sql(
CREATE TABLE planes (
  project $int NOT NULL,
  id $text NOT NULL,
  principal $text NOT NULL,
  writer $int NOT NULL UNIQUE,
  name $text NOT NULL,
  started_us $int NOT NULL,
  seen_us $int NOT NULL,
  report $text NOT NULL,
  PRIMARY KEY (project, id)
) $without_rowid;
)sql"},
};

}  // namespace

store::ModuleMigrations migrations() { return {"plane", kMigrations}; }

}  // namespace plane
