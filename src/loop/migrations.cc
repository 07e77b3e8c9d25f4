#include "loop/migrations.h"

namespace loop {
namespace {

constexpr store::Migration kMigrations[] = {
    {1, R"(
CREATE TABLE loop_bundles (
  project $int NOT NULL,
  id $text NOT NULL,
  commit_id $text NOT NULL,
  dirty $int NOT NULL,
  files $int NOT NULL,
  bytes $int NOT NULL,
  created_us $int NOT NULL,
  PRIMARY KEY (project, id)
) $without_rowid;
CREATE TABLE loop_applied (
  project $int NOT NULL,
  pipeline $text NOT NULL,
  generation $int NOT NULL,
  bundle $text NOT NULL,
  file $text NOT NULL,
  text $text NOT NULL,
  texts $text NOT NULL,
  actor $text NOT NULL,
  applied_us $int NOT NULL,
  PRIMARY KEY (project, pipeline, generation)
) $without_rowid;
CREATE INDEX loop_applied_bundle ON loop_applied (project, pipeline, bundle, generation);
CREATE TABLE loop_endpoints (
  project $int NOT NULL,
  endpoint $text NOT NULL,
  pipeline $text NOT NULL,
  environment $text NOT NULL,
  PRIMARY KEY (project, endpoint)
) $without_rowid;
CREATE TABLE loop_evaluations (
  project $int NOT NULL,
  id $text NOT NULL,
  run $text NOT NULL,
  attempt $text NOT NULL,
  purpose $text NOT NULL,
  side $text NOT NULL,
  subject $text NOT NULL,
  model_version $text NOT NULL,
  data_version $text NOT NULL,
  part $text NOT NULL,
  rows_digest $text NOT NULL,
  row_count $int NOT NULL,
  metric $text NOT NULL,
  value $double NOT NULL,
  low $double NOT NULL,
  high $double NOT NULL,
  summary $text NOT NULL,
  predictions $text NOT NULL,
  created_us $int NOT NULL,
  PRIMARY KEY (project, id)
) $without_rowid;
CREATE UNIQUE INDEX loop_evaluations_once ON loop_evaluations (project, run, purpose, side, subject, part);
CREATE TABLE loop_verdicts (
  project $int NOT NULL,
  id $text NOT NULL,
  run $text NOT NULL,
  attempt $text NOT NULL,
  pipeline $text NOT NULL,
  environment $text NOT NULL,
  endpoint $text NOT NULL,
  model $text NOT NULL,
  challenger $text NOT NULL,
  artifact_root $text NOT NULL,
  transform $text NOT NULL,
  champion $text NOT NULL,
  champion_revision $int NOT NULL,
  kind $text NOT NULL,
  passed $int NOT NULL,
  reason $text NOT NULL,
  numbers $text NOT NULL,
  created_us $int NOT NULL,
  PRIMARY KEY (project, id)
) $without_rowid;
CREATE UNIQUE INDEX loop_verdicts_run ON loop_verdicts (project, run, endpoint);
CREATE TABLE loop_promotions (
  id $id,
  project $int NOT NULL,
  endpoint $text NOT NULL,
  revision $int NOT NULL,
  previous $int NOT NULL,
  kind $text NOT NULL,
  verdict $text NOT NULL,
  model $text NOT NULL,
  version $int NOT NULL,
  actor $text NOT NULL,
  at_us $int NOT NULL
);
CREATE INDEX loop_promotions_endpoint ON loop_promotions (project, endpoint, id);
CREATE INDEX loop_promotions_verdict ON loop_promotions (project, verdict, endpoint);
CREATE TABLE loop_retrainings (
  project $int NOT NULL,
  alert $text NOT NULL,
  endpoint $text NOT NULL,
  run $text NOT NULL,
  labels $int NOT NULL,
  at_us $int NOT NULL,
  PRIMARY KEY (project, alert)
) $without_rowid;
CREATE INDEX loop_retrainings_endpoint ON loop_retrainings (project, endpoint, at_us);
)"},
    // A model's page asks for its evaluations, verdicts and promotions.
    {2, R"(
CREATE INDEX loop_evaluations_subject ON loop_evaluations (project, subject, id);
CREATE INDEX loop_evaluations_rows ON loop_evaluations (project, rows_digest, id);
CREATE INDEX loop_verdicts_model ON loop_verdicts (project, model, id);
CREATE INDEX loop_verdicts_challenger ON loop_verdicts (project, challenger, id);
CREATE INDEX loop_promotions_version ON loop_promotions (project, model, version, id);
)"},
    // Canary steps and bakes (loop/roller.h).
    {3, R"(
CREATE TABLE loop_rollouts (
  id $id,
  project $int NOT NULL,
  endpoint $text NOT NULL,
  verdict $text NOT NULL,
  revision $int NOT NULL,
  champion $int NOT NULL,
  state $text NOT NULL,
  rule $text NOT NULL,
  step $int NOT NULL,
  since_us $int NOT NULL,
  generation $int NOT NULL,
  reason $text NOT NULL,
  numbers $text NOT NULL,
  started_us $int NOT NULL,
  ended_us $int NOT NULL
);
CREATE INDEX loop_rollouts_endpoint ON loop_rollouts (project, endpoint, id);
CREATE UNIQUE INDEX loop_rollouts_one ON loop_rollouts (project, endpoint) WHERE ended_us = 0;
)"},
    // Each decision of a bandit, with what it came from.
    {4, R"(
CREATE TABLE loop_bandits (
  project $int NOT NULL,
  endpoint $text NOT NULL,
  at_us $int NOT NULL,
  generation $int NOT NULL,
  body $text NOT NULL,
  PRIMARY KEY (project, endpoint, at_us)
) $without_rowid;
)"},
    // What was fitted on an evaluation's rows: digest of a transform, or "".
    {5, "ALTER TABLE loop_evaluations ADD COLUMN transform $text NOT NULL DEFAULT ''"}};

}  // namespace

store::ModuleMigrations migrations() { return {"loop", kMigrations}; }

}  // namespace loop
