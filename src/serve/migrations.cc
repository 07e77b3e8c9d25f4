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
    // What each revision of an endpoint answered in each step of time (serve/traffic.h).
    store::Migration{2, R"sql(
CREATE TABLE endpoint_traffic (
  project $int NOT NULL,
  endpoint $text NOT NULL,
  at_us $int NOT NULL,
  revision $int NOT NULL,
  requests $int NOT NULL,
  failures $int NOT NULL,
  row_count $int NOT NULL,
  seconds $double NOT NULL,
  buckets $text NOT NULL,
  PRIMARY KEY (project, endpoint, at_us, revision)
) $without_rowid;
)sql"},
    // What capture writes of an endpoint's traffic: JSON of CaptureRule, or "" for everything.
    store::Migration{3, "ALTER TABLE endpoints ADD COLUMN capture $text NOT NULL DEFAULT ''"},
    // How traffic is divided (JSON of TrafficPlan, or "" for all to the live revision), what the mirror compared, and
    // failures that were the model's.
    store::Migration{4, R"sql(
ALTER TABLE endpoints ADD COLUMN traffic $text NOT NULL DEFAULT '';
ALTER TABLE endpoint_traffic ADD COLUMN faults $int NOT NULL DEFAULT 0;
CREATE TABLE endpoint_mirror (
  project $int NOT NULL,
  endpoint $text NOT NULL,
  at_us $int NOT NULL,
  revision $int NOT NULL,
  shadow $int NOT NULL,
  requests $int NOT NULL,
  row_count $int NOT NULL,
  agreed $int NOT NULL,
  failures $int NOT NULL,
  dropped $int NOT NULL,
  scored $int NOT NULL,
  difference $double NOT NULL,
  most $double NOT NULL,
  seconds $double NOT NULL,
  PRIMARY KEY (project, endpoint, at_us, revision, shadow)
) $without_rowid;
)sql"},
    // How the endpoint's model is run: JSON of ServingSettings, or "" for what the model says.
    store::Migration{5, "ALTER TABLE endpoints ADD COLUMN serving $text NOT NULL DEFAULT ''"},
    // What a revision of a graph is made of (JSON of Graph), or "" for one of a model.
    store::Migration{6, "ALTER TABLE revisions ADD COLUMN graph $text NOT NULL DEFAULT ''"},
};

}  // namespace

store::ModuleMigrations migrations() { return {"serve", kMigrations}; }

}  // namespace serve
