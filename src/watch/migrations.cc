#include "watch/migrations.h"

namespace watch {
namespace {

constexpr store::Migration kMigrations[] = {
    {1, R"(
CREATE TABLE monitors (
  project $int NOT NULL,
  endpoint $text NOT NULL,
  window_rows $int NOT NULL,
  window_us $int NOT NULL,
  labels_from_feedback $int NOT NULL,
  ks_alpha $double NOT NULL,
  psi_threshold $double NOT NULL,
  drifted_share $double NOT NULL,
  consecutive $int NOT NULL,
  changed_us $int NOT NULL,
  read_segment $int NOT NULL,
  read_offset $int NOT NULL,
  read_skip $int NOT NULL,
  next_number $int NOT NULL,
  PRIMARY KEY (project, endpoint)
) $without_rowid;

CREATE TABLE baselines (
  project $int NOT NULL,
  endpoint $text NOT NULL,
  revision $int NOT NULL,
  profile $text NOT NULL,
  evaluation $text NOT NULL,
  set_us $int NOT NULL,
  PRIMARY KEY (project, endpoint, revision)
) $without_rowid;

CREATE TABLE windows (
  project $int NOT NULL,
  endpoint $text NOT NULL,
  number $int NOT NULL,
  id $text NOT NULL,
  revision $int NOT NULL,
  first_us $int NOT NULL,
  last_us $int NOT NULL,
  closed_us $int NOT NULL,
  request_count $int NOT NULL,
  row_count $int NOT NULL,
  judged $int NOT NULL,
  drifted $int NOT NULL,
  bad_quality $int NOT NULL,
  labelled $int NOT NULL,
  correct $int NOT NULL,
  absolute_error $double NOT NULL,
  PRIMARY KEY (project, endpoint, number)
) $without_rowid;
CREATE UNIQUE INDEX windows_by_id ON windows (project, id);
CREATE INDEX windows_in_time ON windows (project, last_us);

CREATE TABLE window_details (
  project $int NOT NULL,
  window_id $text NOT NULL,
  numbers $text NOT NULL,
  members $text NOT NULL,
  PRIMARY KEY (project, window_id)
);

CREATE TABLE feedback (
  project $int NOT NULL,
  prediction $text NOT NULL,
  row_index $int NOT NULL,
  label $text NOT NULL,
  at_us $int NOT NULL,
  received_us $int NOT NULL,
  endpoint $text NOT NULL,
  window_id $text NOT NULL,
  pending $int NOT NULL,
  PRIMARY KEY (project, prediction, row_index)
) $without_rowid;
CREATE INDEX feedback_pending ON feedback (project) WHERE pending = 1;
CREATE INDEX feedback_of_endpoint ON feedback (project, endpoint, received_us);
CREATE INDEX feedback_of_window ON feedback (project, window_id);

CREATE TABLE alerts (
  project $int NOT NULL,
  id $text NOT NULL,
  endpoint $text NOT NULL,
  revision $int NOT NULL,
  kind $text NOT NULL,
  raised_us $int NOT NULL,
  ended_us $int NOT NULL,
  numbers $text NOT NULL,
  PRIMARY KEY (project, id)
);
CREATE INDEX alerts_in_time ON alerts (project, raised_us);
CREATE UNIQUE INDEX alerts_one_open ON alerts (project, endpoint, revision, kind) WHERE ended_us = 0;
)"},
    // A regression's labels are judged by their errors.
    store::Migration{2, R"(
ALTER TABLE windows ADD COLUMN squared_error $double NOT NULL DEFAULT 0;
ALTER TABLE windows ADD COLUMN regression $int NOT NULL DEFAULT 0;
)"},
};

}  // namespace

store::ModuleMigrations migrations() { return {"watch", kMigrations}; }

}  // namespace watch
