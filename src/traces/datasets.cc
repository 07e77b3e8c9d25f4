#include "traces/datasets.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/hash.h"
#include "core/audit.h"
#include "core/event.h"
#include "traces/python_json.h"
#include "traces/span.h"
#include "track/experiments.h"
#include "track/search_ast.h"
#include "track/search_sql.h"
#include "track/validate.h"

namespace traces {

namespace json = base::json;
using base::invalid;
using base::not_found;
using base::Result;
using track::Comparison;
using track::Field;
using track::SqlText;
using track::Value;

namespace {

constexpr std::string_view kUserTag = "mlflow.user";
constexpr std::string_view kColumns =
    "d.id, d.dataset_id, d.name, d.digest, d.schema, d.record_count, d.created_ms, d.updated_ms, d.created_by, "
    "d.updated_by";
constexpr int kColumnCount = 10;

constexpr std::array kAttributes = {
    track::Attribute{.name = "name", .column = "d.name", .list = true},
    track::Attribute{.name = "created_by", .column = "d.created_by"},
    track::Attribute{.name = "last_updated_by", .column = "d.updated_by"},
    track::Attribute{.name = "created_time", .column = "d.created_ms", .numeric = true},
    track::Attribute{.name = "last_update_time", .column = "d.updated_ms", .numeric = true},
};
constexpr track::Dialect kDialect{.entity = "evaluation datasets", .attributes = kAttributes, .null_tests = false};

EvalDataset read(store::Rows& rows) {
  EvalDataset out;
  out.row = rows.i64(0);
  out.dataset_id = rows.str(1);
  out.name = rows.str(2);
  out.digest = rows.str(3);
  out.schema = rows.opt_str(4);
  out.record_count = rows.i64(5);
  out.created_ms = rows.i64(6);
  out.updated_ms = rows.i64(7);
  out.created_by = rows.opt_str(8);
  out.updated_by = rows.opt_str(9);
  return out;
}

void load(store::Tx& tx, EvalDataset& dataset) {
  {
    auto rows = tx.query("SELECT key, value FROM eval_dataset_tags WHERE project = ? AND dataset = ? ORDER BY key",
                         tx.project(), dataset.row);
    while (rows.next()) dataset.tags.push_back({rows.str(0), rows.str(1)});
  }
  auto rows = tx.query("SELECT exp FROM eval_dataset_experiments WHERE project = ? AND dataset = ? ORDER BY exp",
                       tx.project(), dataset.row);
  while (rows.next()) dataset.experiment_ids.push_back(std::to_string(rows.i64(0)));
}

Result<int64_t> row_of(store::Tx& tx, std::string_view dataset_id) {
  const auto row =
      tx.query_i64("SELECT id FROM eval_datasets WHERE project = ? AND dataset_id = ?", tx.project(), dataset_id);
  TRY(tx.status());
  if (!row) return not_found("Evaluation dataset with id '" + std::string(dataset_id) + "' not found");
  return *row;
}

std::string digest_of(std::string_view name, int64_t ms) {
  return base::sha256(std::string(name) + ":" + std::to_string(ms)).hex().substr(0, 8);
}

std::optional<std::string> user_of(const track::Tags& tags) {
  for (const track::Tag& tag : tags) {
    if (tag.key == kUserTag) return tag.value;
  }
  return std::nullopt;
}

Result<void> put_tags(store::Tx& tx, int64_t row, const track::Tags& tags) {
  if (tags.size() > kDatasetTags) return invalid("A dataset has at most " + std::to_string(kDatasetTags) + " tags");
  for (const track::Tag& tag : tags) {
    if (tag.key.empty()) return invalid("A dataset's tag must have a name");
    TRY(track::check_length("Tag key", 255, tag.key));
    TRY(track::check_length("Tag value", 5000, tag.value));
    tx.exec(
        "INSERT INTO eval_dataset_tags (project, dataset, key, value) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (project, dataset, key) DO UPDATE SET value = excluded.value",
        tx.project(), row, tag.key, tag.value);
  }
  return tx.status();
}

Result<void> put_experiments(store::Tx& tx, int64_t row, const std::vector<std::string>& ids) {
  if (ids.size() > kDatasetExperiments) {
    return invalid("A dataset belongs to at most " + std::to_string(kDatasetExperiments) + " experiments");
  }
  for (const std::string& id : ids) {
    TRY_SET(const track::Experiment experiment, track::get_experiment(tx, id));
    tx.exec(
        "INSERT INTO eval_dataset_experiments (project, dataset, exp) VALUES (?, ?, ?) "
        "ON CONFLICT (project, dataset, exp) DO NOTHING",
        tx.project(), row, experiment.id);
  }
  return tx.status();
}

void touch(store::Tx& tx, int64_t row) {
  tx.exec("UPDATE eval_datasets SET updated_ms = ? WHERE project = ? AND id = ?", track::now_ms(tx), tx.project(), row);
}

void write_term(SqlText& out, store::Backend backend, const Comparison& term) {
  if (term.field == Field::kAttribute) {
    const std::string_view column = track::find_attribute(kDialect, term.key)->column;
    out.add("(").add(column).add(" IS NOT NULL AND ");
    track::add_comparison(out, backend, column, term);
    out.add(")");
    return;
  }
  out.add("EXISTS (SELECT 1 FROM eval_dataset_tags x WHERE x.project = d.project AND x.dataset = d.id AND x.key = ");
  out.bind(Value::of(term.key)).add(" AND ");
  track::add_comparison(out, backend, "x.value", term);
  out.add(")");
}

// --- records --------------------------------------------------------------------------------------------------------

bool is_there(std::string_view json) { return !json.empty() && json != "null"; }

std::optional<std::string> opt(const std::string& json) { return is_there(json) ? std::optional(json) : std::nullopt; }

std::string_view type_name(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: return "null";
    case json::kind::bool_: return "boolean";
    case json::kind::int64:
    case json::kind::uint64: return "integer";
    case json::kind::double_: return "float";
    case json::kind::string: return "string";
    case json::kind::array: return "array";
    case json::kind::object: return "object";
  }
  return "unknown";
}

// The types of fields, as the first record that had each of them showed it.
class Schema {
 public:
  explicit Schema(const std::optional<std::string>& stored) {
    if (stored) {
      if (auto parsed = try_parse(*stored); parsed && parsed->is_object()) root_ = std::move(parsed->get_object());
    }
    for (const std::string_view part : {"inputs", "outputs", "expectations"}) {
      if (!root_.contains(part)) root_[part] = json::object();
    }
    if (!root_.contains("version")) root_["version"] = "1.0";
  }
  void learn(std::string_view part, const std::string& text) {
    const auto parsed = is_there(text) ? try_parse(text) : std::nullopt;
    if (!parsed) return;
    json::value& known = root_[part];
    if (parsed->is_object() && known.is_object()) {
      for (const auto& [key, value] : parsed->get_object()) {
        if (!known.get_object().contains(key)) known.get_object()[key] = type_name(value);
      }
    } else if (!parsed->is_object() && known.is_object() && known.get_object().empty()) {
      known = type_name(*parsed);
    }
  }
  std::string text() const { return to_python(root_); }

 private:
  json::object root_;
};

// {"a": 1} with {"b": 2} over it.
std::optional<std::string> merged(const std::optional<std::string>& old, const std::string& fresh) {
  if (!is_there(fresh)) return old;
  const auto added = try_parse(fresh);
  auto base = old ? try_parse(*old) : std::nullopt;
  if (!added || !added->is_object() || !base || !base->is_object()) return fresh;
  for (const auto& [key, value] : added->get_object()) base->get_object()[key] = value;
  return to_python(*base);
}

Result<void> check(const EvalRecord& record) {
  for (const std::string* part :
       {&record.inputs, &record.outputs, &record.expectations, &record.tags, &record.source}) {
    if (part->size() > kRecordBytes) {
      return base::fail(base::Code::kTooLarge,
                        "A part of a record has more than " + std::to_string(kRecordBytes) + " bytes");
    }
  }
  return {};
}

std::optional<std::string> record_user(const EvalRecord& record) {
  const auto tags = try_parse(record.tags);
  if (!tags || !tags->is_object()) return std::nullopt;
  const auto* user = tags->get_object().if_contains(kUserTag);
  return user != nullptr && user->is_string() ? std::optional(std::string(user->get_string())) : std::nullopt;
}

// The same inputs in another order of keys are the same inputs.
std::string hash_of(const std::optional<json::value>& inputs) {
  return base::sha256(to_python(inputs.value_or(json::object()), {.sort_keys = true, .ascii = true})).hex();
}

// Whether the record was new.
Result<bool> upsert(store::Tx& tx, int64_t dataset, const EvalRecord& record) {
  TRY(check(record));
  const auto inputs = try_parse(record.inputs);
  const std::string hash = hash_of(inputs);
  const auto user = record_user(record);
  std::optional<int64_t> row;
  std::optional<std::string> expectations, tags;
  {
    auto rows = tx.query(
        "SELECT id, expectations, tags FROM eval_dataset_records WHERE project = ? AND dataset = ? AND input_hash = ?",
        tx.project(), dataset, hash);
    if (rows.next()) row = rows.i64(0), expectations = rows.opt_str(1), tags = rows.opt_str(2);
  }
  if (!row) {
    tx.exec(
        "INSERT INTO eval_dataset_records (project, dataset, record_id, input_hash, inputs, outputs, expectations, "
        "tags, source, created_ms, updated_ms, created_by, updated_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        tx.project(), dataset, "dr-" + tx.ctx().new_hex32(), hash, inputs ? record.inputs : "{}",
        record.has_outputs ? opt(record.outputs) : std::optional<std::string>("{}"), opt(record.expectations),
        opt(record.tags).value_or("{}"), opt(record.source), track::now_ms(tx), track::now_ms(tx), user, user);
    TRY(tx.status());
    return true;
  }
  if (record.has_outputs) {
    tx.exec("UPDATE eval_dataset_records SET outputs = ? WHERE project = ? AND id = ?", opt(record.outputs),
            tx.project(), *row);
  }
  tx.exec(
      "UPDATE eval_dataset_records SET expectations = ?, tags = ?, updated_ms = ?, updated_by = COALESCE(?, "
      "updated_by) "
      "WHERE project = ? AND id = ?",
      merged(expectations, record.expectations), merged(tags, record.tags), track::now_ms(tx), user, tx.project(),
      *row);
  TRY(tx.status());
  return false;
}

void append_field(std::string& out, std::string_view name, const std::optional<std::string>& json) {
  if (json) out.append(", ").append(python_string(name)).append(": ").append(*json);
}

std::optional<std::string> quoted(const std::optional<std::string>& text) {
  return text ? std::optional(python_string(*text)) : std::nullopt;
}

// A record's source as stored, and its type beside it.
void append_source(std::string& out, const std::optional<std::string>& source) {
  std::optional<std::string> id, type;
  if (const auto parsed = source ? try_parse(*source) : std::nullopt; parsed && parsed->is_object()) {
    if (const auto* value = parsed->get_object().if_contains("source_type")) type = to_python(*value);
    const auto* data = parsed->get_object().if_contains("source_data");
    const auto* trace = data != nullptr && data->is_object() ? data->get_object().if_contains("trace_id") : nullptr;
    if (trace != nullptr) id = to_python(*trace);
  }
  append_field(out, "source", source);
  append_field(out, "source_id", id);
  append_field(out, "source_type", type);
}

struct After {
  int64_t created_ms = -1;
  std::string record_id;
};

// base64 of "<created_ms>:<record id>", upstream's own form.
Result<After> read_token(std::string_view token) {
  if (token.empty()) return After{};
  const auto plain = base::base64_decode(token);
  const size_t colon = plain ? plain->find(':') : std::string::npos;
  After out;
  if (colon != std::string::npos) {
    const auto [end, failed] = std::from_chars(plain->data(), plain->data() + colon, out.created_ms);
    if (failed == std::errc() && end == plain->data() + colon) {
      out.record_id = plain->substr(colon + 1);
      return out;
    }
  }
  return invalid("Invalid page token: it is damaged");
}

}  // namespace

Result<EvalDataset> create_dataset(store::Tx& tx, const NewEvalDataset& dataset) {
  if (dataset.name.empty()) return track::missing_value("name");
  TRY(track::check_length("Dataset name", 255, dataset.name));
  const std::string id = "d-" + tx.ctx().new_hex32();
  const auto user = user_of(dataset.tags);
  const int64_t now = track::now_ms(tx);
  const auto row = tx.query_i64(
      "INSERT INTO eval_datasets (project, dataset_id, name, digest, record_count, created_ms, updated_ms, created_by, "
      "updated_by) VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?) RETURNING id",
      tx.project(), id, dataset.name, digest_of(dataset.name, now), now, now, user, user);
  TRY(tx.status());
  TRY(put_tags(tx, row.value_or(0), dataset.tags));
  TRY(put_experiments(tx, row.value_or(0), dataset.experiment_ids));
  core::emit(tx, "eval_dataset.created", "eval_dataset", id);
  return get_dataset(tx, id);
}

Result<EvalDataset> get_dataset(store::Tx& tx, std::string_view dataset_id) {
  std::optional<EvalDataset> found;
  {
    auto rows =
        tx.query("SELECT " + std::string(kColumns) + " FROM eval_datasets d WHERE d.project = ? AND d.dataset_id = ?",
                 tx.project(), dataset_id);
    if (rows.next()) found = read(rows);
  }
  TRY(tx.status());
  if (!found) return not_found("Evaluation dataset with id '" + std::string(dataset_id) + "' not found");
  load(tx, *found);
  TRY(tx.status());
  return std::move(*found);
}

Result<void> delete_dataset(store::Tx& tx, std::string_view dataset_id) {
  const auto row =
      tx.query_i64("SELECT id FROM eval_datasets WHERE project = ? AND dataset_id = ?", tx.project(), dataset_id);
  if (!row) return tx.status();
  for (const std::string_view sql : {"DELETE FROM eval_dataset_records WHERE project = ? AND dataset = ?",
                                     "DELETE FROM eval_dataset_tags WHERE project = ? AND dataset = ?",
                                     "DELETE FROM eval_dataset_experiments WHERE project = ? AND dataset = ?",
                                     "DELETE FROM eval_datasets WHERE project = ? AND id = ?"}) {
    tx.exec(sql, tx.project(), *row);
  }
  core::emit(tx, "eval_dataset.deleted", "eval_dataset", dataset_id);
  core::audit(tx, "eval_dataset.deleted", "eval_dataset", dataset_id);
  return tx.status();
}

Result<void> edit_dataset_tags(store::Tx& tx, const DatasetTagEdit& edit) {
  const auto row =
      tx.query_i64("SELECT id FROM eval_datasets WHERE project = ? AND dataset_id = ?", tx.project(), edit.dataset_id);
  TRY(tx.status());
  if (!row && edit.set.empty()) return {};  // removing a tag of what is not there
  if (!row) return not_found("Could not find evaluation dataset with ID " + edit.dataset_id);
  TRY(put_tags(tx, *row, edit.set));
  for (const std::string& key : edit.removed) {
    tx.exec("DELETE FROM eval_dataset_tags WHERE project = ? AND dataset = ? AND key = ?", tx.project(), *row, key);
  }
  touch(tx, *row);
  core::emit(tx, "eval_dataset.changed", "eval_dataset", edit.dataset_id);
  return tx.status();
}

Result<EvalDataset> add_to_experiments(store::Tx& tx, const DatasetExperiments& change) {
  TRY_SET(const int64_t row, row_of(tx, change.dataset_id));
  TRY(put_experiments(tx, row, change.experiment_ids));
  touch(tx, row);
  core::emit(tx, "eval_dataset.changed", "eval_dataset", change.dataset_id);
  return get_dataset(tx, change.dataset_id);
}

Result<EvalDataset> remove_from_experiments(store::Tx& tx, const DatasetExperiments& change) {
  TRY_SET(const int64_t row, row_of(tx, change.dataset_id));
  int64_t removed = 0;
  for (const std::string& id : change.experiment_ids) {
    TRY_SET(const int64_t exp, track::parse_experiment_id(id));
    removed += tx.exec("DELETE FROM eval_dataset_experiments WHERE project = ? AND dataset = ? AND exp = ?",
                       tx.project(), row, exp);
  }
  if (removed > 0) touch(tx, row);
  core::emit(tx, "eval_dataset.changed", "eval_dataset", change.dataset_id);
  return get_dataset(tx, change.dataset_id);
}

Result<track::Page<EvalDataset>> search_datasets(store::Tx& tx, const DatasetSearch& search) {
  if (search.max_results < 1 || search.max_results > 50'000) {
    return invalid("Invalid value " + std::to_string(search.max_results) +
                   " for parameter 'max_results' supplied. It must be a positive integer, at most 50000");
  }
  TRY_SET(const track::Filter filter, track::parse_filter(search.filter, kDialect));
  std::string text = "evaluation datasets\n" + search.filter;
  track::PageQuery query;
  query.columns = kColumns;
  query.column_count = kColumnCount;
  query.from.add("FROM eval_datasets d");
  query.where.add("d.project = ").bind(Value::of(tx.project()));
  if (!search.experiment_ids.empty()) {
    std::vector<int64_t> experiments;
    for (const std::string& id : search.experiment_ids) {
      text += "\n" + id;
      TRY_SET(experiments.emplace_back(), track::parse_experiment_id(id));
    }
    query.where
        .add(
            " AND EXISTS (SELECT 1 FROM eval_dataset_experiments e WHERE e.project = d.project "
            "AND e.dataset = d.id AND e.exp IN ")
        .bind_list(experiments)
        .add(")");
  }
  query.where.add(" AND ");
  track::add_filter(query.where, filter,
                    [&](SqlText& out, const Comparison& term) { write_term(out, tx.backend(), term); });
  if (search.order_by.size() > track::kMaxOrderKeys) return invalid("order_by has too many entries");
  for (const std::string& order_text : search.order_by) {
    text += "\n" + order_text;
    TRY_SET(const track::Order order, track::parse_order(order_text, kDialect));
    if (order.field != Field::kAttribute) return invalid("Invalid order_by entity: " + order_text);
    const track::Attribute* attribute = track::find_attribute(kDialect, order.key);
    query.order.push_back(
        {"(CASE WHEN " + std::string(attribute->column) + " IS NULL THEN 1 ELSE 0 END)", true, Value::Type::kInt});
    query.order.push_back(
        {std::string(attribute->column), order.ascending, attribute->numeric ? Value::Type::kInt : Value::Type::kText});
  }
  if (search.order_by.empty()) query.order.push_back({"d.created_ms", false, Value::Type::kInt});
  query.order.push_back({"d.dataset_id", false, Value::Type::kText});
  TRY_SET(const track::PageToken token, track::decode_page_token(text, search.page_token));
  TRY(track::check_token(token.after, query.order));
  query.after = token.after;
  query.offset = token.offset;
  query.limit = search.max_results;
  track::Page<EvalDataset> page;
  const track::PageEnd end = track::run_page(tx, query, [&](store::Rows& rows) { page.rows.push_back(read(rows)); });
  TRY(tx.status());
  if (end.more) page.next_token = track::encode_page_token(text, end.last);
  for (EvalDataset& dataset : page.rows) load(tx, dataset);
  TRY(tx.status());
  return page;
}

Result<Upserted> upsert_records(store::Tx& tx, const RecordUpsert& request) {
  if (request.records.size() > kRequestRecords) {
    return invalid("At most " + std::to_string(kRequestRecords) + " records can be sent at once");
  }
  TRY_SET(const int64_t row, row_of(tx, request.dataset_id));
  tx.lock("eval_dataset", request.dataset_id);
  TRY_SET(const EvalDataset before, get_dataset(tx, request.dataset_id));
  Schema schema(before.schema);
  Upserted out;
  std::optional<std::string> user;
  for (const EvalRecord& record : request.records) {
    TRY_SET(const bool fresh, upsert(tx, row, record));
    ++(fresh ? out.inserted : out.updated);
    schema.learn("inputs", record.inputs);
    if (record.has_outputs) schema.learn("outputs", record.outputs);
    schema.learn("expectations", record.expectations);
    if (auto by = record_user(record)) user = std::move(by);
  }
  const std::optional<std::string> text =
      request.records.empty() && !before.schema ? std::nullopt : std::optional(schema.text());
  tx.exec(
      "UPDATE eval_datasets SET updated_ms = ?, updated_by = ?, digest = ?, schema = ?, record_count = "
      "record_count + ? WHERE project = ? AND id = ?",
      track::now_ms(tx), user, digest_of(before.name, track::now_ms(tx)), text, out.inserted, tx.project(), row);
  core::emit(tx, "eval_dataset.changed", "eval_dataset", request.dataset_id);
  TRY(tx.status());
  return out;
}

Result<bool> import_dataset(store::Tx& tx, const EvalDataset& dataset) {
  const int64_t made = tx.exec(
      "INSERT INTO eval_datasets (project, dataset_id, name, digest, schema, record_count, created_ms, updated_ms, "
      "created_by, updated_by) VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?) ON CONFLICT (project, dataset_id) DO NOTHING",
      tx.project(), dataset.dataset_id, dataset.name, dataset.digest, dataset.schema, dataset.created_ms,
      dataset.updated_ms, dataset.created_by, dataset.updated_by);
  TRY(tx.status());
  if (made == 0) return false;
  TRY_SET(const int64_t row, row_of(tx, dataset.dataset_id));
  for (const track::Tag& tag : dataset.tags) {
    tx.exec("INSERT INTO eval_dataset_tags (project, dataset, key, value) VALUES (?, ?, ?, ?)", tx.project(), row,
            tag.key, tag.value);
  }
  for (const std::string& id : dataset.experiment_ids) {
    TRY_SET(const int64_t experiment, track::experiment_row(tx, id));
    tx.exec("INSERT INTO eval_dataset_experiments (project, dataset, exp) VALUES (?, ?, ?)", tx.project(), row,
            experiment);
  }
  core::emit(tx, "eval_dataset.created", "eval_dataset", dataset.dataset_id);
  TRY(tx.status());
  return true;
}

Result<int64_t> import_records(store::Tx& tx, const ImportedRecords& imported) {
  TRY_SET(const int64_t row, row_of(tx, imported.dataset_id));
  tx.lock("eval_dataset", imported.dataset_id);
  int64_t made = 0;
  for (const EvalRecord& record : imported.records) {
    made += tx.exec(
        "INSERT INTO eval_dataset_records (project, dataset, record_id, input_hash, inputs, outputs, expectations, "
        "tags, source, created_ms, updated_ms, created_by, updated_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        tx.project(), row, record.record_id, hash_of(try_parse(record.inputs)), record.inputs,
        record.has_outputs ? std::optional(record.outputs) : std::nullopt, opt(record.expectations), opt(record.tags),
        opt(record.source), record.created_ms, record.updated_ms, record.created_by, record.updated_by);
  }
  if (made > 0) {
    tx.exec("UPDATE eval_datasets SET record_count = record_count + ? WHERE project = ? AND id = ?", made, tx.project(),
            row);
    core::emit(tx, "eval_dataset.changed", "eval_dataset", imported.dataset_id);
  }
  TRY(tx.status());
  return made;
}

Result<int64_t> delete_records(store::Tx& tx, const RecordDeletion& deletion) {
  if (deletion.record_ids.size() > kRequestRecords) {
    return invalid("At most " + std::to_string(kRequestRecords) + " records can be named at once");
  }
  TRY_SET(const int64_t row, row_of(tx, deletion.dataset_id));
  tx.lock("eval_dataset", deletion.dataset_id);
  int64_t deleted = 0;
  for (const std::string& id : deletion.record_ids) {
    deleted += tx.exec("DELETE FROM eval_dataset_records WHERE project = ? AND dataset = ? AND record_id = ?",
                       tx.project(), row, id);
  }
  tx.exec("UPDATE eval_datasets SET record_count = record_count - ? WHERE project = ? AND id = ?", deleted,
          tx.project(), row);
  if (deleted > 0) core::emit(tx, "eval_dataset.changed", "eval_dataset", deletion.dataset_id);
  TRY(tx.status());
  return deleted;
}

Result<RecordPage> read_records(store::Tx& tx, const RecordPageQuery& query) {
  if (query.max_results < 1 || query.max_results > kRecordPage) {
    return invalid("max_results must be between 1 and " + std::to_string(kRecordPage));
  }
  TRY_SET(const int64_t row, row_of(tx, query.dataset_id));
  TRY_SET(After after, read_token(query.page_token));
  RecordPage page;
  page.json = "[";
  auto rows = tx.query(
      "SELECT record_id, inputs, outputs, expectations, tags, source, created_ms, updated_ms, created_by, updated_by "
      "FROM eval_dataset_records WHERE project = ? AND dataset = ? AND (created_ms > ? OR (created_ms = ? AND "
      "record_id > ?)) ORDER BY created_ms, record_id LIMIT ?",
      tx.project(), row, after.created_ms, after.created_ms, after.record_id, query.max_results + 1);
  for (int64_t n = 0; rows.next(); ++n) {
    if (n == query.max_results || (n > 0 && page.json.size() > kRecordAnswerBytes)) {
      page.next_token = base::base64_encode(std::to_string(after.created_ms) + ":" + after.record_id);
      break;
    }
    after = {rows.i64(6), rows.str(0)};
    std::string& out = page.json;
    out.append(n != 0 ? ", {" : "{").append("\"dataset_record_id\": ").append(python_string(rows.text(0)));
    append_field(out, "dataset_id", python_string(query.dataset_id));
    append_field(out, "inputs", rows.str(1));
    append_field(out, "outputs", rows.opt_str(2));
    append_field(out, "expectations", rows.opt_str(3));
    append_field(out, "tags", rows.opt_str(4));
    append_source(out, rows.opt_str(5));
    append_field(out, "created_time", std::to_string(rows.i64(6)));
    append_field(out, "last_update_time", std::to_string(rows.i64(7)));
    append_field(out, "created_by", quoted(rows.opt_str(8)));
    append_field(out, "last_updated_by", quoted(rows.opt_str(9)));
    out += '}';
  }
  TRY(tx.status());
  page.json += ']';
  return page;
}

}  // namespace traces
