#include "data/migrations.h"

namespace data {
namespace {

// made_us: when a version was last made. Making bytes that exist already makes no new version, but it is the newest
// again.
constexpr store::Migration kMigrations[] = {
    {1, R"(
CREATE TABLE data_versions (
  id $id,
  project $int NOT NULL,
  name $text NOT NULL,
  number $int NOT NULL,
  version $text NOT NULL,
  label $text NOT NULL,
  features $text NOT NULL,
  rows_json $text NOT NULL,
  source $text NOT NULL,
  created_us $int NOT NULL,
  made_us $int NOT NULL,
  UNIQUE (project, name, number),
  UNIQUE (project, name, version)
);
CREATE INDEX data_versions_by_version ON data_versions (project, version);
)"},
};

}  // namespace

store::ModuleMigrations migrations() { return {"data", kMigrations}; }

}  // namespace data
