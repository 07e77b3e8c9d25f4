// SourceTables: the tables of MLflow's own database, of whatever revision of its schema: which columns there are is
// asked first, and a query says what stands for one that its revision has not. Read only.
//
// Thread: one. A query that fails throws Failure.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "cli/command.h"
#include "store/store.h"

namespace cli {

class SourceTables {
 public:
  SourceTables(std::unique_ptr<store::Store> store, std::string workspace);

  template <class F>
  void each(const std::string& sql, std::vector<store::Param> params, F visit) const {
    need(store_->read_blocking(base::Context::system(base::system_clock()),
                               [&](store::Tx& tx) {
                                 auto rows = tx.open(sql, params);
                                 while (rows.next()) visit(rows);
                                 return tx.status();
                               }),
         "the source");
  }

  bool has(std::string_view table) const;
  bool has(std::string_view table, const std::string& column) const;
  // In a SELECT: the column of the table known `as`, or `otherwise` where it is NULL or this revision has no such
  // column.
  std::string column(std::string_view table, const std::string& as, const std::string& name,
                     const std::string& otherwise) const;
  std::string in_workspace(std::string_view table,
                           const std::string& as) const;  // a condition; true without workspaces
  const std::string& workspace() const { return workspace_; }

 private:
  void load_columns(const std::string& table);

  std::unique_ptr<store::Store> store_;
  std::string workspace_;
  std::map<std::string, std::set<std::string>, std::less<>> columns_;  // of tables
};

std::vector<store::Param> params_of(const std::vector<std::string>& texts);
std::string marks(size_t count);  // "(?, ?, …)"; count > 0
bool is_true(store::Rows& rows, int column);

}  // namespace cli
