#include "lab/migrations.h"

namespace lab {
namespace {

// One row per person: the latest start. state is the enum's number.
constexpr store::Migration kMigrations[] = {{1, R"(
CREATE TABLE lab_servers (
  id $id,
  project $int NOT NULL,
  owner $text NOT NULL,
  public_id $text NOT NULL,
  state $int NOT NULL,
  root $text NOT NULL,
  program $text NOT NULL,
  memory_bytes $int NOT NULL,
  idle_us $int NOT NULL,
  started_us $int NOT NULL,
  ended_us $int NOT NULL,
  detail $text NOT NULL,
  token $text NOT NULL,
  UNIQUE (owner)
);
)"}};

}  // namespace

store::ModuleMigrations migrations() { return {"lab", kMigrations}; }

}  // namespace lab
