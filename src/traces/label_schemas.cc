#include "traces/label_schemas.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "base/hash.h"
#include "core/event.h"
#include "traces/python_json.h"
#include "traces/span.h"
#include "track/experiments.h"
#include "track/page_token.h"
#include "track/search_sql.h"
#include "track/validate.h"

namespace traces {

using base::invalid;
using base::not_found;
using base::Result;
using track::python_repr;
using track::Value;

namespace {

constexpr std::string_view kColumns =
    "l.schema_id, l.exp, l.name, l.type, l.instruction, l.enable_comment, l.input, l.created_ms, l.updated_ms";
constexpr int kColumnCount = 9;

LabelSchema read(store::Rows& rows) {
  LabelSchema out;
  out.schema_id = rows.str(0);
  out.experiment = rows.i64(1);
  out.name = rows.str(2);
  out.type = rows.i64(3);
  out.instruction = rows.opt_str(4);
  out.enable_comment = rows.boolean(5);
  out.input = rows.str(6);
  out.created_ms = rows.i64(7);
  out.updated_ms = rows.i64(8);
  return out;
}

// The same for ever, so that a queue can refer to it; the experiment stands at its end.
std::string default_id(int64_t project, int64_t experiment) {
  const std::string named = "default label schema " + std::to_string(project) + "/" + std::to_string(experiment);
  std::array<uint8_t, 8> number{};
  for (size_t i = 0; i < 8; ++i) number[i] = static_cast<uint8_t>(static_cast<uint64_t>(experiment) >> (56 - 8 * i));
  return "ls-" + base::sha256(named).hex().substr(0, 16) + base::to_hex(number);
}

LabelSchema default_schema(int64_t project, const track::Experiment& experiment) {
  LabelSchema out;
  out.schema_id = default_id(project, experiment.id);
  out.experiment = experiment.id;
  out.name = kDefaultSchemaName;
  out.type = 1;
  out.instruction = "Share any feedback on this trace.";
  out.input = R"({"text": {}})";
  out.created_ms = out.updated_ms = experiment.created_ms;
  out.is_default = true;
  return out;
}

// The experiment whose default question this is.
Result<std::optional<LabelSchema>> find_default(store::Tx& tx, std::string_view schema_id) {
  constexpr size_t kPrefix = 3 + 16;
  uint64_t experiment = 0;
  if (schema_id.size() != kPrefix + 16) return std::optional<LabelSchema>();
  const char* end = schema_id.data() + schema_id.size();
  const auto [stop, failed] = std::from_chars(schema_id.data() + kPrefix, end, experiment, 16);
  if (failed != std::errc() || stop != end || experiment > INT64_MAX) return std::optional<LabelSchema>();
  const auto id = static_cast<int64_t>(experiment);
  if (default_id(tx.project(), id) != schema_id) return std::optional<LabelSchema>();
  const auto found = track::get_experiment(tx, std::to_string(id));
  if (!found) return std::optional<LabelSchema>();
  return std::optional(default_schema(tx.project(), *found));
}

Result<void> check_name(const std::string& name) {
  if (name.empty()) return invalid("Label schema `name` must be a non-empty string; got ''.");
  if (const size_t chars = track::count_chars(name); chars > kSchemaNameChars) {
    return invalid("Label schema `name` must be at most " + std::to_string(kSchemaNameChars) + " characters; got " +
                   std::to_string(chars) + ".");
  }
  std::string lower = name;
  lower.erase(0, lower.find_first_not_of(" \t\r\n") == lower.npos ? lower.size() : lower.find_first_not_of(" \t\r\n"));
  lower.erase(lower.find_last_not_of(" \t\r\n") + 1);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  if (lower == "feedback") {
    return invalid("`" + name +
                   "` is reserved for the experiment's default question and cannot be used for another "
                   "label schema.");
  }
  return {};
}

Result<void> check_instruction(const std::string& text) {
  if (const size_t chars = track::count_chars(text); chars > kInstructionChars) {
    return invalid("Label schema `instruction` must be at most " + std::to_string(kInstructionChars) +
                   " characters; got " + std::to_string(chars) + ".");
  }
  return {};
}

Result<void> check_label(const std::string& label, std::string_view field) {
  if (label.empty()) return invalid("`" + std::string(field) + "` must be a non-empty string; got ''.");
  if (const size_t chars = track::count_chars(label); chars > kLabelChars) {
    return invalid("`" + std::string(field) + "` must be at most " + std::to_string(kLabelChars) + " characters; got " +
                   std::to_string(chars) + ".");
  }
  return {};
}

std::string double_text(double number) {
  std::string out;
  append_python_double(out, number);
  return out;
}

Result<void> check_input(const LabelInput& input) {
  switch (input.kind) {
    case LabelInput::Kind::kNone:
      return invalid(
          "Label schema `input` must have exactly one of `pass_fail`, `categorical`, `numeric`, or `text` "
          "set; got an empty oneof.");
    case LabelInput::Kind::kPassFail:
      TRY(check_label(input.positive, "InputPassFail.positive_label"));
      TRY(check_label(input.negative, "InputPassFail.negative_label"));
      if (input.positive != input.negative) return {};
      return invalid("`InputPassFail.positive_label` and `negative_label` must be distinct; got " +
                     python_repr(input.positive) + " for both.");
    case LabelInput::Kind::kCategorical: {
      if (input.options.empty()) return invalid("`InputCategorical.options` must be a non-empty list; got [].");
      if (input.options.size() > kSchemaOptions) {
        return invalid("`InputCategorical.options` must have at most " + std::to_string(kSchemaOptions) +
                       " entries; got " + std::to_string(input.options.size()) + ".");
      }
      std::set<std::string_view> seen;
      for (const std::string& option : input.options) {
        TRY(check_label(option, "InputCategorical.options"));
        if (!seen.insert(option).second) {
          return invalid("`InputCategorical.options` must be deduplicated; " + python_repr(option) + " appears twice.");
        }
      }
      return {};
    }
    case LabelInput::Kind::kNumeric:
      if (input.min_value && input.max_value && !(*input.min_value < *input.max_value)) {
        return invalid("`InputNumeric.min_value` must be strictly less than `max_value`; got min=" +
                       double_text(*input.min_value) + ", max=" + double_text(*input.max_value) + ".");
      }
      return {};
    case LabelInput::Kind::kText:
      if (input.max_length && *input.max_length < 1) {
        return invalid("`InputText.max_length` must be at least 1; got " + std::to_string(*input.max_length) + ".");
      }
      return {};
  }
  return {};
}

std::string input_text(const LabelInput& input) {
  std::string out;
  const auto add = [&](std::string_view name, const std::string& value) {
    out.append(out.ends_with('{') ? "" : ", ").append(python_string(name)).append(": ").append(value);
  };
  switch (input.kind) {
    case LabelInput::Kind::kNone: return "{}";
    case LabelInput::Kind::kPassFail:
      out = R"({"pass_fail": {)";
      add("positive_label", python_string(input.positive));
      add("negative_label", python_string(input.negative));
      break;
    case LabelInput::Kind::kCategorical: {
      out = R"({"categorical": {)";
      std::string options;
      for (const std::string& option : input.options) {
        options.append(options.empty() ? "[" : ", ").append(python_string(option));
      }
      add("options", options + "]");
      add("multi_select", input.multi_select ? "true" : "false");
      break;
    }
    case LabelInput::Kind::kNumeric:
      out = R"({"numeric": {)";
      if (input.min_value) add("min_value", double_text(*input.min_value));
      if (input.max_value) add("max_value", double_text(*input.max_value));
      break;
    case LabelInput::Kind::kText:
      out = R"({"text": {)";
      if (input.max_length) add("max_length", std::to_string(*input.max_length));
      break;
  }
  return out + "}}";
}

std::string_view class_of(std::string_view input) {
  if (input.starts_with(R"({"pass_fail")")) return "InputPassFail";
  if (input.starts_with(R"({"categorical")")) return "InputCategorical";
  return input.starts_with(R"({"numeric")") ? "InputNumeric" : "InputText";
}

std::unexpected<base::Error> taken(const std::string& name, std::string_view experiment_id) {
  return base::fail(
      base::Code::kAlreadyExists,
      "Label schema with name '" + name + "' already exists for experiment '" + std::string(experiment_id) + "'.");
}

Result<std::optional<LabelSchema>> find(store::Tx& tx, std::string_view schema_id) {
  {
    auto rows =
        tx.query("SELECT " + std::string(kColumns) + " FROM label_schemas l WHERE l.project = ? AND l.schema_id = ?",
                 tx.project(), schema_id);
    if (rows.next()) return std::optional(read(rows));
  }
  TRY(tx.status());
  return find_default(tx, schema_id);
}

}  // namespace

Result<LabelSchema> create_label_schema(store::Tx& tx, const NewLabelSchema& given) {
  if (given.type != 1 && given.type != 2) {
    return invalid("Label schema `type` must be one of FEEDBACK or EXPECTATION; got proto enum value " +
                   std::to_string(given.type) + ".");
  }
  TRY(check_name(given.name));
  if (given.instruction) TRY(check_instruction(*given.instruction));
  TRY(check_input(given.input));
  TRY_SET(const track::Experiment experiment, track::active_experiment(tx, given.experiment_id));
  LabelSchema out;
  out.schema_id = "ls-" + tx.ctx().new_hex32();
  out.experiment = experiment.id;
  out.name = given.name;
  out.type = given.type;
  out.instruction = given.instruction;
  out.enable_comment = given.enable_comment;
  out.input = input_text(given.input);
  out.created_ms = out.updated_ms = track::now_ms(tx);
  const int64_t made = tx.exec(
      "INSERT INTO label_schemas (project, schema_id, exp, name, type, instruction, enable_comment, input, created_ms, "
      "updated_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, exp, name) DO NOTHING",
      tx.project(), out.schema_id, out.experiment, out.name, out.type, out.instruction, out.enable_comment, out.input,
      out.created_ms, out.updated_ms);
  TRY(tx.status());
  if (made == 0) return taken(given.name, given.experiment_id);
  core::emit(tx, "label_schema.created", "label_schema", out.schema_id);
  return out;
}

Result<std::string> import_label_schema(store::Tx& tx, const ImportedLabelSchema& imported) {
  const LabelSchema& schema = imported.schema;
  if (schema.is_default) return default_id(tx.project(), schema.experiment);
  if (imported.input.kind == LabelInput::Kind::kNone || (schema.type != 1 && schema.type != 2))
    return invalid("label schema '" + schema.name + "' is of a kind that is not known here");
  const int64_t made = tx.exec(
      "INSERT INTO label_schemas (project, schema_id, exp, name, type, instruction, enable_comment, input, created_ms, "
      "updated_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
      tx.project(), schema.schema_id, schema.experiment, schema.name, schema.type, schema.instruction,
      schema.enable_comment, input_text(imported.input), schema.created_ms, schema.updated_ms);
  if (made > 0) core::emit(tx, "label_schema.created", "label_schema", schema.schema_id);
  TRY(tx.status());
  return schema.schema_id;
}

Result<LabelSchema> get_label_schema(store::Tx& tx, std::string_view schema_id) {
  TRY_SET(auto found, find(tx, schema_id));
  if (!found) return not_found("Label schema with id '" + std::string(schema_id) + "' not found.");
  return std::move(*found);
}

Result<LabelSchema> get_label_schema_by_name(store::Tx& tx, std::string_view experiment_id, std::string_view name) {
  TRY_SET(const track::Experiment experiment, track::active_experiment(tx, experiment_id));
  if (name == kDefaultSchemaName) return default_schema(tx.project(), experiment);
  auto rows = tx.query(
      "SELECT " + std::string(kColumns) + " FROM label_schemas l WHERE l.project = ? AND l.exp = ? AND l.name = ?",
      tx.project(), experiment.id, name);
  if (!rows.next()) {
    TRY(tx.status());
    return not_found("Label schema with name '" + std::string(name) + "' not found for experiment '" +
                     std::string(experiment_id) + "'.");
  }
  return read(rows);
}

Result<LabelSchema> update_label_schema(store::Tx& tx, const LabelSchemaUpdate& update) {
  tx.lock("label_schema", update.schema_id);
  TRY_SET(LabelSchema schema, get_label_schema(tx, update.schema_id));
  if (schema.is_default) return invalid("The experiment's default question cannot be edited.");
  if (update.name) TRY(check_name(*update.name));
  if (update.instruction) TRY(check_instruction(*update.instruction));
  if (update.input) {
    TRY(check_input(*update.input));
    const std::string fresh = input_text(*update.input);
    if (class_of(fresh) != class_of(schema.input)) {
      return invalid("A label schema's input type cannot be changed after creation (existing: " +
                     std::string(class_of(schema.input)) + ", got: " + std::string(class_of(fresh)) + ").");
    }
    constexpr std::string_view kMany = R"("multi_select": true)";
    if (fresh.contains(kMany) != schema.input.contains(kMany)) {
      return invalid("`InputCategorical.multi_select` cannot be changed after creation.");
    }
    schema.input = fresh;
  }
  if (update.name && *update.name != schema.name) {
    const auto other = tx.query_i64("SELECT id FROM label_schemas WHERE project = ? AND exp = ? AND name = ?",
                                    tx.project(), schema.experiment, *update.name);
    if (other) return taken(*update.name, std::to_string(schema.experiment));
    schema.name = *update.name;
  }
  if (update.instruction) schema.instruction = update.instruction;
  if (update.enable_comment) schema.enable_comment = *update.enable_comment;
  schema.updated_ms = track::now_ms(tx);
  tx.exec(
      "UPDATE label_schemas SET name = ?, instruction = ?, enable_comment = ?, input = ?, updated_ms = ? "
      "WHERE project = ? AND schema_id = ?",
      schema.name, schema.instruction, schema.enable_comment, schema.input, schema.updated_ms, tx.project(),
      schema.schema_id);
  core::emit(tx, "label_schema.updated", "label_schema", schema.schema_id);
  TRY(tx.status());
  return schema;
}

Result<void> delete_label_schema(store::Tx& tx, std::string_view schema_id) {
  TRY_SET(const auto found, find(tx, schema_id));
  if (!found) return {};
  if (found->is_default) return invalid("The experiment's default question cannot be deleted.");
  tx.exec("DELETE FROM label_schemas WHERE project = ? AND schema_id = ?", tx.project(), schema_id);
  core::emit(tx, "label_schema.deleted", "label_schema", schema_id);
  return tx.status();
}

Result<track::Page<LabelSchema>> list_label_schemas(store::Tx& tx, const PageQuery& list) {
  if (list.max_results < 1 || list.max_results > kSchemaPage) {
    return invalid("max_results must be between 1 and " + std::to_string(kSchemaPage) + ".");
  }
  TRY_SET(const track::Experiment experiment, track::active_experiment(tx, list.experiment_id));
  const std::string text = "label schemas\n" + list.experiment_id;
  track::PageQuery query;
  query.columns = kColumns;
  query.column_count = kColumnCount;
  query.from.add("FROM label_schemas l");
  query.where.add("l.project = ").bind(Value::of(tx.project())).add(" AND l.exp = ").bind(Value::of(experiment.id));
  query.order = {{"l.created_ms", false, Value::Type::kInt}, {"l.schema_id", true, Value::Type::kText}};
  TRY_SET(const track::PageToken token, track::decode_page_token(text, list.page_token));
  TRY(track::check_token(token.after, query.order));
  query.after = token.after;
  query.offset = token.offset;
  query.limit = list.max_results;
  track::Page<LabelSchema> page;
  const track::PageEnd end = track::run_page(tx, query, [&](store::Rows& rows) { page.rows.push_back(read(rows)); });
  TRY(tx.status());
  if (end.more) {
    page.next_token = track::encode_page_token(text, end.last);
  } else {
    page.rows.push_back(default_schema(tx.project(), experiment));  // the oldest of all
  }
  return page;
}

Result<std::vector<std::string>> unknown_schemas(store::Tx& tx, int64_t experiment,
                                                 const std::vector<std::string>& ids) {
  std::vector<std::string> out;
  for (const std::string& id : ids) {
    if (id == default_id(tx.project(), experiment)) continue;
    const auto row = tx.query_i64("SELECT id FROM label_schemas WHERE project = ? AND exp = ? AND schema_id = ?",
                                  tx.project(), experiment, id);
    if (!row) out.push_back(id);
  }
  TRY(tx.status());
  return out;
}

}  // namespace traces
