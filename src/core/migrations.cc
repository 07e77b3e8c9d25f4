#include "core/migrations.h"

namespace core {
namespace {

constexpr store::Migration kMigrations[] = {
    {1, R"(
CREATE TABLE projects (
  id $id,
  name $text NOT NULL UNIQUE,
  created_us $int NOT NULL
);
INSERT INTO projects (id, name, created_us) VALUES (1, 'default', 0);
$postgres SELECT setval(pg_get_serial_sequence('projects', 'id'), 1);

CREATE TABLE events (
  seq $id,
  xid $int NOT NULL DEFAULT $txid,
  project $int NOT NULL,
  at_us $int NOT NULL,
  kind $text NOT NULL,
  subject_kind $text NOT NULL,
  subject $text NOT NULL,
  actor $text NOT NULL,
  body $text NOT NULL
);
$postgres CREATE INDEX events_in_order ON events (xid, seq);

CREATE TABLE consumers (
  project $int NOT NULL,
  name $text NOT NULL,
  xid $int NOT NULL,
  seq $int NOT NULL,
  moved_us $int NOT NULL,
  PRIMARY KEY (project, name)
) $without_rowid;

CREATE TABLE edges (
  project $int NOT NULL,
  from_kind $text NOT NULL,
  from_id $text NOT NULL,
  to_kind $text NOT NULL,
  to_id $text NOT NULL,
  role $text NOT NULL,
  at_us $int NOT NULL,
  PRIMARY KEY (project, from_kind, from_id, to_kind, to_id, role)
) $without_rowid;
CREATE INDEX edges_into ON edges (project, to_kind, to_id);

CREATE TABLE principals (
  id $id,
  project $int NOT NULL,
  name $text NOT NULL,
  kind $int NOT NULL,
  attempt $text NOT NULL,
  created_us $int NOT NULL,
  UNIQUE (project, name)
);

CREATE TABLE tokens (
  hash $blob NOT NULL PRIMARY KEY,
  project $int NOT NULL,
  principal $int NOT NULL REFERENCES principals (id),
  created_us $int NOT NULL,
  expires_us $int NOT NULL
) $without_rowid;
CREATE INDEX tokens_of ON tokens (principal);

CREATE TABLE audit (
  id $id,
  project $int NOT NULL,
  at_us $int NOT NULL,
  actor $text NOT NULL,
  action $text NOT NULL,
  subject_kind $text NOT NULL,
  subject $text NOT NULL,
  request_id $text NOT NULL,
  body $text NOT NULL
);
CREATE INDEX audit_in_order ON audit (project, id);
)"},
};

}  // namespace

store::ModuleMigrations migrations() { return {"core", kMigrations}; }

}  // namespace core
