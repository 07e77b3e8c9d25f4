// Many rows in few statements: a round trip and a run of the statement for each row is what costs, not the row.
//
//     store::BulkInsert insert(tx, "INSERT INTO things (project, name) VALUES ", 2, " ON CONFLICT DO NOTHING");
//     for (…) insert.add(tx.project(), name);
//     insert.finish();
//
// Rows go in groups of a few fixed sizes, so that few statement texts are cached. Texts and bytes are borrowed until
// finish(). Thread: the job's, as the Tx.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/tx.h"

namespace store {

class BulkInsert {
 public:
  BulkInsert(Tx& tx, std::string_view head, size_t columns, std::string_view tail = "")
      : tx_(tx), head_(head), tail_(tail), columns_(columns) {}

  template <class... A>
  void add(const A&... args) {
    static_assert(sizeof...(A) > 0);
    (params_.emplace_back(args), ...);
  }
  int64_t finish();  // the number of changed rows; errors are the Tx's

 private:
  Tx& tx_;
  std::string_view head_, tail_;
  size_t columns_;
  std::vector<Param> params_;
};

}  // namespace store
