#include "store/migrate.h"

#include <map>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/hash.h"
#include "store/sql_text.h"

namespace store::detail {
namespace {

using Applied = std::map<std::pair<std::string, int64_t>, std::string>;  // (module, number) → checksum

constexpr std::string_view kTable = R"(
CREATE TABLE IF NOT EXISTS schema_migrations (
  module $text NOT NULL, number $int NOT NULL, checksum $text NOT NULL, applied_us $int NOT NULL,
  PRIMARY KEY (module, number)))";

base::Result<void> run_ddl(Tx& tx, std::string_view sql) {
  for (const std::string& statement : translate_ddl(sql, tx.backend())) {
    tx.run(statement, {});
    TRY(tx.status());
  }
  return {};
}

base::Result<Applied> read_applied(const Transact& transact) {
  Applied applied;
  TRY(transact([&](Tx& tx) -> base::Result<void> {
    applied.clear();
    TRY(run_ddl(tx, kTable));
    Rows rows = tx.query("SELECT module, number, checksum FROM schema_migrations");
    while (rows.next()) applied[{rows.str(0), rows.i64(1)}] = rows.str(2);
    return tx.status();
  }));
  return applied;
}

base::Result<void> refuse_newer(const Applied& applied, std::span<const ModuleMigrations> modules) {
  for (const auto& [key, checksum] : applied) {
    const auto& [name, number] = key;
    int64_t known = 0;
    for (const ModuleMigrations& module : modules) {
      if (module.module == name) known = static_cast<int64_t>(module.migrations.size());
    }
    if (number <= known) continue;
    return base::fail(base::Code::kConflict, "this store was written by a newer Lathe (" + name + " is at migration " +
                                                 std::to_string(number) + ", this version knows " +
                                                 std::to_string(known) +
                                                 "); start that version, or restore a backup made by this one");
  }
  return {};
}

}  // namespace

base::Result<void> migrate(const Transact& transact, std::span<const ModuleMigrations> modules) {
  TRY_SET(const Applied applied, read_applied(transact));
  TRY(refuse_newer(applied, modules));
  for (const ModuleMigrations& module : modules) {
    int expected = 0;
    for (const Migration& migration : module.migrations) {
      ASSERT_ALWAYS(migration.number == ++expected);
      const std::string checksum = base::sha256(migration.sql).hex();
      const std::string where = std::string(module.module) + " migration " + std::to_string(migration.number);
      if (auto found = applied.find({std::string(module.module), migration.number}); found != applied.end()) {
        if (found->second == checksum) continue;
        return base::fail(base::Code::kConflict, where + " is not the one that made this store (its text was changed)");
      }
      auto ran = transact([&](Tx& tx) -> base::Result<void> {
        TRY(run_ddl(tx, migration.sql));
        tx.exec("INSERT INTO schema_migrations (module, number, checksum, applied_us) VALUES (?, ?, ?, ?)",
                module.module, migration.number, checksum, tx.now_us());
        return tx.status();
      });
      if (!ran) return std::unexpected(std::move(ran).error().within(where));
    }
  }
  return {};
}

}  // namespace store::detail
