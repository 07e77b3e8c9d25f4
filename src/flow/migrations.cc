#include "flow/migrations.h"

namespace flow {
namespace {

// States, phases and outcomes are stored as the enums' numbers, which therefore never change.
// flow_runs.cancelled: 1 asked for, 2 taken up by the engine. flow_inbox: runs that the engine has to look at.
constexpr store::Migration kMigrations[] = {{1, R"(
CREATE TABLE flow_pipelines (
  id $id,
  project $int NOT NULL,
  name $text NOT NULL,
  spec $text NOT NULL,
  changed_us $int NOT NULL,
  cron_next_us $int,
  UNIQUE (project, name)
);
CREATE TABLE flow_runs (
  id $id,
  project $int NOT NULL,
  public_id $text NOT NULL,
  pipeline $text NOT NULL,
  number $int NOT NULL,
  bundle $text NOT NULL,
  cause $text NOT NULL,
  params $text NOT NULL,
  spec $text NOT NULL,
  forced $int NOT NULL,
  state $int NOT NULL,
  cancelled $int NOT NULL,
  version $int NOT NULL,
  created_us $int NOT NULL,
  ended_us $int NOT NULL,
  UNIQUE (project, public_id),
  UNIQUE (project, pipeline, number)
);
CREATE INDEX flow_runs_live ON flow_runs (ended_us, id);
CREATE TABLE flow_stages (
  project $int NOT NULL,
  run $int NOT NULL,
  stage $int NOT NULL,
  name $text NOT NULL,
  grp $text NOT NULL,
  phase $int NOT NULL,
  result $int NOT NULL,
  attempt $text NOT NULL,
  reason $text NOT NULL,
  tries $int NOT NULL,
  losses $int NOT NULL,
  not_before_us $int NOT NULL,
  started_us $int NOT NULL,
  ended_us $int NOT NULL,
  PRIMARY KEY (project, run, stage)
) $without_rowid;
CREATE TABLE flow_attempts (
  project $int NOT NULL,
  public_id $text NOT NULL,
  run $int NOT NULL,
  stage $int NOT NULL,
  inputs $text NOT NULL,
  handle $text NOT NULL,
  outcome $int,
  detail $text NOT NULL,
  started_us $int NOT NULL,
  ended_us $int NOT NULL,
  PRIMARY KEY (project, public_id)
) $without_rowid;
CREATE INDEX flow_attempts_stage ON flow_attempts (project, run, stage);
CREATE TABLE flow_results (
  project $int NOT NULL,
  pipeline $text NOT NULL,
  stage $text NOT NULL,
  input_key $text NOT NULL,
  attempt $text NOT NULL,
  inputs $text NOT NULL,
  at_us $int NOT NULL,
  PRIMARY KEY (project, pipeline, stage, input_key)
) $without_rowid;
CREATE INDEX flow_results_newest ON flow_results (project, pipeline, stage, at_us);
CREATE TABLE flow_inbox (
  id $id,
  project $int NOT NULL,
  run $int NOT NULL
);
)"}};

}  // namespace

store::ModuleMigrations migrations() { return {"flow", kMigrations}; }

}  // namespace flow
