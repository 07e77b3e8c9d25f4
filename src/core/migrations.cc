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
    // People and services: a principal of project 0 (the whole server), what it knows and may. A role in project 0
    // holds in every project. A token of theirs has an id to name it by, and may be narrower than its owner.
    {2, R"(
CREATE TABLE users (
  id $int NOT NULL PRIMARY KEY REFERENCES principals (id),
  name $text NOT NULL UNIQUE,
  password $text NOT NULL,
  admin $int NOT NULL,
  disabled $int NOT NULL,
  stamp $int NOT NULL,
  created_us $int NOT NULL,
  changed_us $int NOT NULL
) $without_rowid;

CREATE TABLE roles (
  project $int NOT NULL,
  principal $int NOT NULL REFERENCES users (id),
  role $text NOT NULL,
  PRIMARY KEY (project, principal, role)
) $without_rowid;
CREATE INDEX roles_of ON roles (principal);

CREATE TABLE sessions (
  hash $blob NOT NULL PRIMARY KEY,
  project $int NOT NULL,
  principal $int NOT NULL REFERENCES users (id),
  address $text NOT NULL,
  created_us $int NOT NULL,
  seen_us $int NOT NULL,
  expires_us $int NOT NULL
) $without_rowid;
CREATE INDEX sessions_of ON sessions (principal);

ALTER TABLE tokens ADD COLUMN id $text NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN label $text NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN role $text NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN scope $int NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN seen_us $int NOT NULL DEFAULT 0;
)"},
    // What a user may do with single experiments and models, above or below his roles (resource_access.h).
    store::Migration{3, R"(
CREATE TABLE resource_grants (
  project $int NOT NULL,
  principal $int NOT NULL REFERENCES users (id),
  kind $text NOT NULL,
  resource $text NOT NULL,
  level $int NOT NULL,
  PRIMARY KEY (project, principal, kind, resource)
) $without_rowid;
CREATE INDEX resource_grants_on ON resource_grants (project, kind, resource);
CREATE INDEX resource_grants_of ON resource_grants (principal);
)"},
    // Roles by name, made of grants, for many users (named_role.h). Their ids are public: from a counter, never again.
    store::Migration{4, R"(
CREATE TABLE core_counters (
  name $text NOT NULL PRIMARY KEY,
  last $int NOT NULL
) $without_rowid;
INSERT INTO core_counters (name, last) VALUES ('named_role', 0), ('named_role_grant', 0), ('named_role_user', 0);

CREATE TABLE named_roles (
  id $int NOT NULL PRIMARY KEY,
  project $int NOT NULL,
  name $text NOT NULL,
  description $text,
  created_us $int NOT NULL,
  UNIQUE (project, name)
) $without_rowid;

CREATE TABLE named_role_grants (
  id $int NOT NULL PRIMARY KEY,
  role $int NOT NULL REFERENCES named_roles (id),
  kind $text NOT NULL,
  resource $text NOT NULL,
  level $int NOT NULL,
  UNIQUE (role, kind, resource)
) $without_rowid;

CREATE TABLE named_role_users (
  id $int NOT NULL PRIMARY KEY,
  role $int NOT NULL REFERENCES named_roles (id),
  principal $int NOT NULL REFERENCES users (id),
  UNIQUE (role, principal)
) $without_rowid;
CREATE INDEX named_role_users_of ON named_role_users (principal);
)"},
    // Which registered model an audit line is about, by its name now. Names of models have no '/', what follows it in a
    // version's is its number. A promotion's is in its body.
    store::Migration{5, R"(
ALTER TABLE audit ADD COLUMN model $text NOT NULL DEFAULT '';
UPDATE audit SET model = subject WHERE subject_kind = 'registered_model';
UPDATE audit SET model = substr(subject, 1, length(rtrim(subject, '0123456789')) - 1)
 WHERE subject_kind = 'model_version' AND subject LIKE '%/%';
$sqlite UPDATE audit SET model = COALESCE(body ->> 'model', '')
 WHERE subject_kind = 'endpoint' AND action LIKE 'model_version.%';
$postgres UPDATE audit SET model = COALESCE(body::json ->> 'model', '')
 WHERE subject_kind = 'endpoint' AND action LIKE 'model_version.%';
CREATE INDEX audit_of_model ON audit (project, model, id) WHERE model <> '';
CREATE INDEX audit_of_models ON audit (project, id) WHERE model <> '';
)"},
};

}  // namespace

store::ModuleMigrations migrations() { return {"core", kMigrations}; }

}  // namespace core
