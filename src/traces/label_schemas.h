// Label schemas: the questions that reviewers are asked about an experiment's traces. Every experiment has one default
// question, which nobody makes, edits or deletes: it is part of the answers, not a row.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "track/types.h"

namespace traces {

inline constexpr size_t kSchemaNameChars = 250, kInstructionChars = 1000, kLabelChars = 64, kSchemaOptions = 10;
inline constexpr int64_t kSchemaPage = 1000;
inline constexpr std::string_view kDefaultSchemaName = "Feedback";

struct LabelInput {
  enum class Kind : uint8_t { kNone, kPassFail, kCategorical, kNumeric, kText };
  Kind kind = Kind::kNone;
  std::string positive, negative;              // kPassFail
  std::vector<std::string> options;            // kCategorical
  bool multi_select = false;                   // kCategorical
  std::optional<double> min_value, max_value;  // kNumeric
  std::optional<int64_t> max_length;           // kText
};

struct LabelSchema {
  std::string schema_id;  // "ls-<32 hex>"
  int64_t experiment = 0;
  std::string name;
  int64_t type = 0;  // 1 FEEDBACK, 2 EXPECTATION
  std::optional<std::string> instruction;
  bool enable_comment = false;
  std::string input;  // JSON, as clients read it: {"text": {}}
  int64_t created_ms = 0, updated_ms = 0;
  bool is_default = false;
};

struct NewLabelSchema {
  std::string experiment_id, name;
  int64_t type = 0;
  std::optional<std::string> instruction;
  bool enable_comment = false;
  LabelInput input;
};
base::Result<LabelSchema> create_label_schema(store::Tx& tx, const NewLabelSchema& schema);
base::Result<LabelSchema> get_label_schema(store::Tx& tx, std::string_view schema_id);
base::Result<LabelSchema> get_label_schema_by_name(store::Tx& tx, std::string_view experiment_id,
                                                   std::string_view name);
// As another server has it. Its default question is ours, whose id is answered; else the id that was given, whether the
// question was made or is here.
struct ImportedLabelSchema {
  LabelSchema schema;  // `input` is not read
  LabelInput input;
};
base::Result<std::string> import_label_schema(store::Tx& tx, const ImportedLabelSchema& imported);
struct LabelSchemaUpdate {
  std::string schema_id;
  std::optional<std::string> name, instruction;
  std::optional<bool> enable_comment;
  std::optional<LabelInput> input;  // of the same kind as it was
};
base::Result<LabelSchema> update_label_schema(store::Tx& tx, const LabelSchemaUpdate& update);
base::Result<void> delete_label_schema(store::Tx& tx, std::string_view schema_id);  // gone already: nothing to do

struct PageQuery {
  std::string experiment_id;
  int64_t max_results = 100;
  std::string page_token;
};
base::Result<track::Page<LabelSchema>> list_label_schemas(store::Tx& tx, const PageQuery& query);  // newest first

// Used by the review queues: those of `ids` that are not questions of this experiment.
base::Result<std::vector<std::string>> unknown_schemas(store::Tx& tx, int64_t experiment,
                                                       const std::vector<std::string>& ids);

}  // namespace traces
