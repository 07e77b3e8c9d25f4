#include "traces/migrations.h"

namespace traces {
namespace {

constexpr store::Migration kMigrations[] = {
    {1, R"sql(
CREATE TABLE traces (
  id $id,
  project $int NOT NULL,
  trace_id $text NOT NULL,
  exp $int NOT NULL,
  start_ms $int NOT NULL,
  duration_ms $int,
  state $text NOT NULL,
  client_request_id $text,
  request_preview $text,
  response_preview $text,
  name $text,
  session $text,
  input_tokens $int,
  output_tokens $int,
  total_tokens $int,
  cache_read_tokens $int,
  cache_creation_tokens $int,
  cache_creation_1h_tokens $int,
  input_cost $double,
  output_cost $double,
  total_cost $double,
  finalized $int NOT NULL,
  UNIQUE (project, trace_id)
);
CREATE INDEX traces_by_start ON traces (project, exp, start_ms DESC, trace_id);
CREATE INDEX traces_by_session ON traces (project, session, start_ms);

CREATE TABLE trace_tags (
  project $int NOT NULL,
  trace $int NOT NULL,
  key $text NOT NULL,
  value $text NOT NULL,
  PRIMARY KEY (project, trace, key)
) $without_rowid;

CREATE TABLE trace_metadata (
  project $int NOT NULL,
  trace $int NOT NULL,
  key $text NOT NULL,
  value $text NOT NULL,
  PRIMARY KEY (project, trace, key)
) $without_rowid;

CREATE TABLE trace_spans (
  id $id,
  project $int NOT NULL,
  trace $int NOT NULL,
  span_id $text NOT NULL,
  parent_id $text,
  name $text NOT NULL,
  type $text,
  status $text NOT NULL,
  start_ns $int NOT NULL,
  end_ns $int,
  model $text,
  provider $text,
  usage $text,
  input_cost $double,
  output_cost $double,
  total_cost $double,
  content $blob NOT NULL,
  UNIQUE (project, trace, span_id)
);

CREATE TABLE trace_assessments (
  id $id,
  project $int NOT NULL,
  trace $int NOT NULL,
  assessment_id $text NOT NULL,
  name $text NOT NULL,
  kind $text NOT NULL,
  value $text NOT NULL,
  error $text,
  number $double,
  is_number $int NOT NULL,
  created_ms $int NOT NULL,
  updated_ms $int NOT NULL,
  source_type $text NOT NULL,
  source_id $text,
  run_id $text,
  span_id $text,
  rationale $text,
  overrides $text,
  valid $int NOT NULL,
  metadata $text,
  of_session $int NOT NULL,
  UNIQUE (project, assessment_id)
);
CREATE INDEX trace_assessments_by_trace ON trace_assessments (project, trace, id);
CREATE INDEX trace_assessments_by_name ON trace_assessments (project, kind, name);

CREATE TABLE trace_runs (
  project $int NOT NULL,
  run_id $text NOT NULL,
  trace $int NOT NULL,
  PRIMARY KEY (project, run_id, trace)
) $without_rowid;
CREATE INDEX trace_runs_by_trace ON trace_runs (project, trace);

CREATE TABLE trace_prompts (
  project $int NOT NULL,
  prompt $text NOT NULL,
  trace $int NOT NULL,
  PRIMARY KEY (project, prompt, trace)
) $without_rowid;
CREATE INDEX trace_prompts_by_trace ON trace_prompts (project, trace);

CREATE TABLE eval_datasets (
  id $id,
  project $int NOT NULL,
  dataset_id $text NOT NULL,
  name $text NOT NULL,
  digest $text NOT NULL,
  schema $text,
  record_count $int NOT NULL,
  created_ms $int NOT NULL,
  updated_ms $int NOT NULL,
  created_by $text,
  updated_by $text,
  UNIQUE (project, dataset_id)
);
CREATE INDEX eval_datasets_by_created ON eval_datasets (project, created_ms DESC, dataset_id);

CREATE TABLE eval_dataset_tags (
  project $int NOT NULL,
  dataset $int NOT NULL,
  key $text NOT NULL,
  value $text NOT NULL,
  PRIMARY KEY (project, dataset, key)
) $without_rowid;

CREATE TABLE eval_dataset_experiments (
  project $int NOT NULL,
  dataset $int NOT NULL,
  exp $int NOT NULL,
  PRIMARY KEY (project, dataset, exp)
) $without_rowid;
CREATE INDEX eval_dataset_experiments_by_exp ON eval_dataset_experiments (project, exp);

CREATE TABLE eval_dataset_records (
  id $id,
  project $int NOT NULL,
  dataset $int NOT NULL,
  record_id $text NOT NULL,
  input_hash $text NOT NULL,
  inputs $text NOT NULL,
  outputs $text,
  expectations $text,
  tags $text,
  source $text,
  created_ms $int NOT NULL,
  updated_ms $int NOT NULL,
  created_by $text,
  updated_by $text,
  UNIQUE (project, dataset, input_hash),
  UNIQUE (project, record_id)
);
CREATE INDEX eval_dataset_records_in_order ON eval_dataset_records (project, dataset, created_ms, record_id);

CREATE TABLE scorers (
  id $id,
  project $int NOT NULL,
  exp $int NOT NULL,
  name $text NOT NULL,
  scorer_id $text NOT NULL,
  last_version $int NOT NULL,
  UNIQUE (project, exp, name)
);

CREATE TABLE scorer_versions (
  project $int NOT NULL,
  scorer $int NOT NULL,
  version $int NOT NULL,
  content $text NOT NULL,
  created_ms $int NOT NULL,
  PRIMARY KEY (project, scorer, version)
) $without_rowid;

CREATE TABLE issues (
  id $id,
  project $int NOT NULL,
  issue_id $text NOT NULL,
  exp $int NOT NULL,
  name $text NOT NULL,
  description $text NOT NULL,
  status $text NOT NULL,
  severity $text,
  rank $int NOT NULL,
  root_causes $text,
  categories $text,
  source_run_id $text,
  created_ms $int NOT NULL,
  updated_ms $int NOT NULL,
  created_by $text,
  UNIQUE (project, issue_id)
);
CREATE INDEX issues_in_order ON issues (project, exp, rank DESC, created_ms DESC, issue_id DESC);

CREATE TABLE label_schemas (
  id $id,
  project $int NOT NULL,
  schema_id $text NOT NULL,
  exp $int NOT NULL,
  name $text NOT NULL,
  type $int NOT NULL,
  instruction $text,
  enable_comment $int NOT NULL,
  input $text NOT NULL,
  created_ms $int NOT NULL,
  updated_ms $int NOT NULL,
  UNIQUE (project, schema_id),
  UNIQUE (project, exp, name)
);

CREATE TABLE review_queues (
  id $id,
  project $int NOT NULL,
  queue_id $text NOT NULL,
  exp $int NOT NULL,
  name $text NOT NULL,
  name_key $text NOT NULL,
  type $int NOT NULL,
  created_by $text,
  created_ms $int NOT NULL,
  updated_ms $int NOT NULL,
  UNIQUE (project, queue_id),
  UNIQUE (project, exp, name_key)
);

CREATE TABLE review_queue_users (
  project $int NOT NULL,
  queue $int NOT NULL,
  user_id $text NOT NULL,
  PRIMARY KEY (project, queue, user_id)
) $without_rowid;

CREATE TABLE review_queue_schemas (
  project $int NOT NULL,
  queue $int NOT NULL,
  schema_id $text NOT NULL,
  PRIMARY KEY (project, queue, schema_id)
) $without_rowid;

CREATE TABLE review_queue_items (
  project $int NOT NULL,
  queue $int NOT NULL,
  item_id $text NOT NULL,
  status $int NOT NULL,
  completed_by $text,
  completed_ms $int,
  created_ms $int NOT NULL,
  updated_ms $int NOT NULL,
  PRIMARY KEY (project, queue, item_id)
) $without_rowid;
CREATE INDEX review_queue_items_by_item ON review_queue_items (project, item_id);
)sql"},
};

}  // namespace

store::ModuleMigrations migrations() { return {"traces", kMigrations}; }

}  // namespace traces
