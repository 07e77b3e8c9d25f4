#include "blob/migrations.h"

namespace blob {
namespace {

// blobs.unused_since_us: 0 while something refers to it, else when garbage collection first saw that nothing did.
constexpr store::Migration kMigrations[] = {
    {1, R"(
CREATE TABLE blobs (
  project $int NOT NULL,
  sha256 $blob NOT NULL,
  md5 $blob,
  size $int NOT NULL,
  created_us $int NOT NULL,
  unused_since_us $int NOT NULL,
  PRIMARY KEY (project, sha256)
) $without_rowid;
CREATE INDEX blobs_by_digest ON blobs (sha256);

CREATE TABLE blob_refs (
  project $int NOT NULL,
  owner_kind $text NOT NULL,
  owner $text NOT NULL,
  sha256 $blob NOT NULL,
  at_us $int NOT NULL,
  PRIMARY KEY (project, owner_kind, owner, sha256)
) $without_rowid;
CREATE INDEX blob_refs_to ON blob_refs (project, sha256);

CREATE TABLE artifacts (
  project $int NOT NULL,
  root $text NOT NULL,
  path $text NOT NULL,
  size $int NOT NULL,
  sha256 $blob,
  location $int NOT NULL,
  address $text NOT NULL,
  at_us $int NOT NULL,
  PRIMARY KEY (project, root, path)
) $without_rowid;
CREATE INDEX artifacts_of_blob ON artifacts (project, sha256);
)"},
    // One row: where the blobs are at home, and the name by which this store owns that place (blob/home.h).
    {2, R"(
CREATE TABLE blob_home (
  one $int PRIMARY KEY,
  home $text NOT NULL,
  store_id $text NOT NULL,
  at_us $int NOT NULL
);
)"},
};

}  // namespace

store::ModuleMigrations migrations() { return {"blob", kMigrations}; }

}  // namespace blob
