#include "track/migrations.h"

namespace track {

namespace {

// Child rows carry `exp` beside `run` so that one index serves "this key, this value, in this experiment" without a
// join. Expression indices hold the first 100 characters of a value: PostgreSQL refuses index rows past 2,700 bytes.
constexpr store::Migration kMigrations[] = {
    {1, R"sql(
CREATE TABLE track_counters (
  project $int NOT NULL,
  name $text NOT NULL,
  last $int NOT NULL,
  PRIMARY KEY (project, name)
) $without_rowid;

CREATE TABLE track_keys (
  id $id,
  project $int NOT NULL,
  name $text NOT NULL,
  UNIQUE (project, name)
);

CREATE TABLE track_experiments (
  id $int NOT NULL PRIMARY KEY,
  project $int NOT NULL,
  name $text NOT NULL,
  artifact_location $text NOT NULL,
  deleted $int NOT NULL,
  created_ms $int NOT NULL,
  updated_ms $int NOT NULL,
  UNIQUE (project, name)
);

CREATE TABLE track_experiment_tags (
  project $int NOT NULL,
  exp $int NOT NULL,
  key $text NOT NULL,
  value $text NOT NULL,
  PRIMARY KEY (project, exp, key)
) $without_rowid;

CREATE TABLE track_runs (
  id $id,
  project $int NOT NULL,
  run_id $text NOT NULL,
  exp $int NOT NULL,
  name $text NOT NULL,
  name_tag $int NOT NULL,
  user_id $text NOT NULL,
  status $int NOT NULL,
  start_ms $int NOT NULL,
  end_ms $int,
  deleted $int NOT NULL,
  deleted_ms $int,
  artifact_uri $text NOT NULL,
  attempt $text NOT NULL,
  UNIQUE (project, run_id)
);
CREATE INDEX track_runs_by_start ON track_runs (project, exp, deleted, start_ms DESC, run_id);
CREATE INDEX track_runs_by_name ON track_runs (project, exp, substr(name, 1, 100));

CREATE TABLE track_params (
  project $int NOT NULL,
  run $int NOT NULL,
  key_id $int NOT NULL,
  exp $int NOT NULL,
  value $text NOT NULL,
  PRIMARY KEY (project, run, key_id)
) $without_rowid;
CREATE INDEX track_params_by_value ON track_params (project, exp, key_id, substr(value, 1, 100), run);

CREATE TABLE track_tags (
  project $int NOT NULL,
  run $int NOT NULL,
  key_id $int NOT NULL,
  exp $int NOT NULL,
  value $text NOT NULL,
  PRIMARY KEY (project, run, key_id)
) $without_rowid;
CREATE INDEX track_tags_by_value ON track_tags (project, exp, key_id, substr(value, 1, 100), run);

CREATE TABLE track_metric_points (
  project $int NOT NULL,
  run $int NOT NULL,
  key_id $int NOT NULL,
  at_ms $int NOT NULL,
  step $int NOT NULL,
  value $double NOT NULL,
  is_nan $int NOT NULL,
  PRIMARY KEY (project, run, key_id, at_ms, step, value, is_nan)
) $without_rowid;

CREATE TABLE track_latest_metrics (
  project $int NOT NULL,
  run $int NOT NULL,
  key_id $int NOT NULL,
  exp $int NOT NULL,
  value $double NOT NULL,
  at_ms $int NOT NULL,
  step $int NOT NULL,
  is_nan $int NOT NULL,
  PRIMARY KEY (project, run, key_id)
) $without_rowid;
CREATE INDEX track_latest_by_value ON track_latest_metrics (project, exp, key_id, is_nan, value, run);

CREATE TABLE track_datasets (
  id $id,
  project $int NOT NULL,
  exp $int NOT NULL,
  name $text NOT NULL,
  digest $text NOT NULL,
  source_type $text NOT NULL,
  source $text NOT NULL,
  schema_text $text,
  profile $text,
  UNIQUE (project, exp, name, digest)
);

CREATE TABLE track_inputs (
  id $id,
  project $int NOT NULL,
  run $int NOT NULL,
  dataset $int NOT NULL,
  UNIQUE (project, run, dataset)
);
CREATE INDEX track_inputs_by_dataset ON track_inputs (project, dataset, run);

CREATE TABLE track_input_tags (
  project $int NOT NULL,
  input $int NOT NULL,
  key $text NOT NULL,
  value $text NOT NULL,
  PRIMARY KEY (project, input, key)
) $without_rowid;

CREATE TABLE track_run_models (
  project $int NOT NULL,
  run $int NOT NULL,
  is_output $int NOT NULL,
  model_id $text NOT NULL,
  step $int NOT NULL,
  PRIMARY KEY (project, run, is_output, model_id, step)
) $without_rowid;

CREATE TABLE track_models (
  id $id,
  project $int NOT NULL,
  model_id $text NOT NULL,
  exp $int NOT NULL,
  name $text NOT NULL,
  model_type $text NOT NULL,
  source_run_id $text NOT NULL,
  artifact_uri $text NOT NULL,
  status $int NOT NULL,
  deleted $int NOT NULL,
  created_ms $int NOT NULL,
  updated_ms $int NOT NULL,
  attempt $text NOT NULL,
  UNIQUE (project, model_id)
);
CREATE INDEX track_models_by_created ON track_models (project, exp, deleted, created_ms DESC, model_id);
CREATE INDEX track_models_by_attempt ON track_models (project, attempt, id);

CREATE TABLE track_model_params (
  project $int NOT NULL,
  model $int NOT NULL,
  key $text NOT NULL,
  value $text NOT NULL,
  PRIMARY KEY (project, model, key)
) $without_rowid;

CREATE TABLE track_model_tags (
  project $int NOT NULL,
  model $int NOT NULL,
  key $text NOT NULL,
  value $text NOT NULL,
  PRIMARY KEY (project, model, key)
) $without_rowid;

CREATE TABLE track_model_metrics (
  project $int NOT NULL,
  model $int NOT NULL,
  key $text NOT NULL,
  at_ms $int NOT NULL,
  step $int NOT NULL,
  run_id $text NOT NULL,
  value $double NOT NULL,
  is_nan $int NOT NULL,
  dataset_name $text NOT NULL,
  dataset_digest $text NOT NULL,
  PRIMARY KEY (project, model, key, at_ms, step, run_id, value, is_nan, dataset_name, dataset_digest)
) $without_rowid;

CREATE TABLE track_registered (
  id $id,
  project $int NOT NULL,
  name $text NOT NULL,
  description $text,
  created_ms $int NOT NULL,
  updated_ms $int NOT NULL,
  last_version $int NOT NULL,
  UNIQUE (project, name)
);

CREATE TABLE track_registered_tags (
  project $int NOT NULL,
  registered $int NOT NULL,
  key $text NOT NULL,
  value $text NOT NULL,
  PRIMARY KEY (project, registered, key)
) $without_rowid;

CREATE TABLE track_versions (
  id $id,
  project $int NOT NULL,
  registered $int NOT NULL,
  version $int NOT NULL,
  source $text NOT NULL,
  storage_uri $text NOT NULL,
  artifact_root $text NOT NULL,
  run_id $text NOT NULL,
  run_link $text NOT NULL,
  model_id $text NOT NULL,
  description $text,
  stage $text NOT NULL,
  deleted $int NOT NULL,
  created_ms $int NOT NULL,
  updated_ms $int NOT NULL,
  UNIQUE (project, registered, version)
);
CREATE INDEX track_versions_by_run ON track_versions (project, run_id);
CREATE INDEX track_versions_by_model ON track_versions (project, model_id);
CREATE INDEX track_versions_by_update ON track_versions (project, deleted, updated_ms DESC);

CREATE TABLE track_version_tags (
  project $int NOT NULL,
  version_row $int NOT NULL,
  key $text NOT NULL,
  value $text NOT NULL,
  PRIMARY KEY (project, version_row, key)
) $without_rowid;

CREATE TABLE track_aliases (
  project $int NOT NULL,
  registered $int NOT NULL,
  alias $text NOT NULL,
  version $int NOT NULL,
  PRIMARY KEY (project, registered, alias)
) $without_rowid;

INSERT INTO track_counters (project, name, last) VALUES (0, 'experiment', 0);
INSERT INTO track_experiments (id, project, name, artifact_location, deleted, created_ms, updated_ms)
  VALUES (0, 1, 'Default', 'mlflow-artifacts:/0', 0, 0, 0);
)sql"},
    // The least and greatest value a metric ever had, so that "best" needs no history. NULL: never a number.
    {2, R"sql(
ALTER TABLE track_latest_metrics ADD COLUMN min_value $double;
ALTER TABLE track_latest_metrics ADD COLUMN max_value $double;
CREATE INDEX track_models_by_run ON track_models (project, source_run_id, id);
UPDATE track_latest_metrics SET
  min_value = (SELECT MIN(p.value) FROM track_metric_points p WHERE p.project = track_latest_metrics.project
    AND p.run = track_latest_metrics.run AND p.key_id = track_latest_metrics.key_id AND p.is_nan = 0),
  max_value = (SELECT MAX(p.value) FROM track_metric_points p WHERE p.project = track_latest_metrics.project
    AND p.run = track_latest_metrics.run AND p.key_id = track_latest_metrics.key_id AND p.is_nan = 0);
)sql"},
    {3, R"sql(
CREATE TABLE track_uploads (
  project $int NOT NULL,
  id $text NOT NULL,
  path $text NOT NULL,
  parts $int NOT NULL,
  created_us $int NOT NULL,
  PRIMARY KEY (project, id)
) $without_rowid;
CREATE INDEX track_uploads_by_age ON track_uploads (project, created_us);
)sql"},
    // Metric points in tails and chunks (points.h). Rows of track_metric_points are taken over when the server starts.
    {4, R"sql(
CREATE TABLE track_metric_chunks (
  id $id,
  project $int NOT NULL,
  run $int NOT NULL,
  key_id $int NOT NULL,
  first_ms $int NOT NULL,
  first_step $int NOT NULL,
  first_value $double NOT NULL,
  first_nan $int NOT NULL,
  last_ms $int NOT NULL,
  min_step $int NOT NULL,
  max_step $int NOT NULL,
  points $int NOT NULL,
  nans $int NOT NULL,
  in_step_order $int NOT NULL,
  least $double,
  least_ms $int,
  least_step $int,
  greatest $double,
  greatest_ms $int,
  greatest_step $int,
  data $blob NOT NULL
);
CREATE UNIQUE INDEX track_metric_chunks_in_order
  ON track_metric_chunks (project, run, key_id, first_ms, first_step, first_value, first_nan);
ALTER TABLE track_latest_metrics ADD COLUMN tail $blob;
ALTER TABLE track_latest_metrics ADD COLUMN chunked_ms $int;
ALTER TABLE track_latest_metrics ADD COLUMN chunked_step $int;
)sql"},
    // Runs that run, failed or were killed are few among a million, and asked for. The finished ones are not in it.
    {5, R"sql(
CREATE INDEX track_runs_unfinished ON track_runs (project, exp, status, start_ms DESC) WHERE status <> 3;
)sql"},
    // Rules on metrics and the alerts they raised (metric_rules.h): one for a run and rule.
    {6, R"sql(
CREATE TABLE track_metric_rules (
  id $id,
  project $int NOT NULL,
  rule_id $text NOT NULL,
  exp $int NOT NULL,
  name $text NOT NULL,
  kind $int NOT NULL,
  metric $text NOT NULL,
  threshold $double NOT NULL,
  silent_ms $int NOT NULL,
  filter $text NOT NULL,
  created_ms $int NOT NULL,
  created_by $text NOT NULL,
  UNIQUE (project, rule_id),
  UNIQUE (project, exp, name)
);
CREATE TABLE track_metric_alerts (
  project $int NOT NULL,
  rule $int NOT NULL,
  run_id $text NOT NULL,
  exp $int NOT NULL,
  at_ms $int NOT NULL,
  numbers $text NOT NULL,
  PRIMARY KEY (project, rule, run_id)
) $without_rowid;
CREATE INDEX track_metric_alerts_in_time ON track_metric_alerts (project, exp, at_ms);
CREATE INDEX track_metric_alerts_by_run ON track_metric_alerts (project, run_id);
)sql"},
    // What charts ask of every chunk is read from the index alone: a chunk's own row is a page in front of its points.
    {7, R"sql(
DROP INDEX track_metric_chunks_in_order;
CREATE INDEX track_metric_chunks_listed
  ON track_metric_chunks (project, run, key_id, first_ms, first_step, first_value, first_nan, last_ms, min_step,
    max_step, points, nans, in_step_order, least, least_ms, least_step, greatest, greatest_ms, greatest_step, id);
)sql"},
    // Uploads whose parts go past this server (blob::DirectUploads).
    {8, R"sql(
ALTER TABLE track_uploads ADD COLUMN remote $text;
)sql"},
};

}  // namespace

store::ModuleMigrations migrations() { return {"track", kMigrations}; }

}  // namespace track
