#include "hooks/migrations.h"

namespace hooks {
namespace {

constexpr store::Migration kMigrations[] = {
    {1, R"(
CREATE TABLE hooks (
  project $int NOT NULL,
  id $text NOT NULL,
  name $text NOT NULL,
  description $text,
  url $text NOT NULL,
  active $int NOT NULL,
  secret $blob NOT NULL,
  created_ms $int NOT NULL,
  updated_ms $int NOT NULL,
  PRIMARY KEY (project, id)
) $without_rowid;

CREATE TABLE hook_events (
  project $int NOT NULL,
  event $text NOT NULL,
  hook $text NOT NULL,
  place $int NOT NULL,
  PRIMARY KEY (project, event, hook)
) $without_rowid;
CREATE INDEX hook_events_of ON hook_events (project, hook);

CREATE TABLE hook_deliveries (
  project $int NOT NULL,
  id $text NOT NULL,
  hook $text NOT NULL,
  event $text NOT NULL,
  state $int NOT NULL,
  attempts $int NOT NULL,
  created_us $int NOT NULL,
  due_us $int NOT NULL,
  finished_us $int NOT NULL,
  status $int NOT NULL,
  error $text NOT NULL,
  body $text NOT NULL,
  PRIMARY KEY (project, id)
);
CREATE INDEX hook_deliveries_due ON hook_deliveries (due_us) WHERE state = 0;
CREATE INDEX hook_deliveries_of ON hook_deliveries (project, hook, state, created_us);
CREATE INDEX hook_deliveries_in_time ON hook_deliveries (project, created_us);
CREATE INDEX hook_deliveries_finished ON hook_deliveries (finished_us) WHERE state > 0;
)"},
};

}  // namespace

store::ModuleMigrations migrations() { return {"hooks", kMigrations}; }

}  // namespace hooks
