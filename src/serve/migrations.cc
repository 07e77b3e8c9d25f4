#include "serve/migrations.h"

#include <array>

namespace serve {
namespace {

constexpr std::array kMigrations = {
    store::Migration{1, R"sql(
CREATE TABLE endpoints (
  id $id,
  project $int NOT NULL,
  name $text NOT NULL,
  environment $text NOT NULL,
  is_default $int NOT NULL DEFAULT 0,
  live_revision $int NOT NULL DEFAULT 0,
  previous_revision $int NOT NULL DEFAULT 0,
  generation $int NOT NULL DEFAULT 0,
  created_us $int NOT NULL
);
CREATE UNIQUE INDEX endpoints_name ON endpoints (project, name);
CREATE TABLE revisions (
  project $int NOT NULL,
  endpoint $text NOT NULL,
  number $int NOT NULL,
  model_name $text NOT NULL,
  model_version $int NOT NULL,
  artifact_root $text NOT NULL,
  transform_digest $text NOT NULL,
  created_us $int NOT NULL,
  PRIMARY KEY (project, endpoint, number)
) $without_rowid;
)sql"},
};

}  // namespace

store::ModuleMigrations migrations() { return {"serve", kMigrations}; }

}  // namespace serve
