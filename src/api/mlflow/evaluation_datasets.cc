// Evaluation data sets: …/datasets. Tags and records travel as JSON text within the JSON.
#include "api/mlflow/door.h"
#include "api/mlflow/json.h"
#include "traces/datasets.h"

namespace api::mlflow {

namespace json = base::json;
using base::JsonWriter;
using base::Result;
using net::Method;
using store::Tx;

namespace {

constexpr size_t kRecordsBody = size_t{64} << 20;

// {"key": "value", "gone": null}: texts are set, null removes, anything else is kept as its JSON.
void parse_tags(Args& args, std::string_view name, track::Tags& set, std::vector<std::string>& removed) {
  const auto text = args.optional_text(name);
  if (!text || text->empty()) return;
  const auto parsed = base::parse_json(*text);
  if (!parsed || !parsed->is_object()) {
    return args.fail({base::Code::kInvalid, "Invalid value for parameter '" + std::string(name) +
                                                "' supplied: it must be a JSON object, as text"});
  }
  for (const auto& [key, value] : parsed->get_object()) {
    if (value.is_null()) {
      removed.emplace_back(key);
    } else {
      set.push_back({std::string(key), value.is_string() ? std::string(value.get_string()) : base::to_text(value)});
    }
  }
}

std::string part(const json::object& record, std::string_view name) {
  const json::value* value = record.if_contains(name);
  return value != nullptr ? base::to_text(*value) : "";
}

traces::RecordUpsert parse_upsert(Args& args) {
  traces::RecordUpsert out;
  out.dataset_id = args.path_param("dataset_id");
  const std::string text = args.required_text("records");
  if (args.error()) return out;
  const auto parsed = base::parse_json(text);
  if (!parsed || !parsed->is_array()) {
    args.fail(
        {base::Code::kInvalid, "Invalid value for parameter 'records' supplied: it must be a JSON list, as text"});
    return out;
  }
  for (const json::value& item : parsed->get_array()) {
    const std::string where = "records[" + std::to_string(out.records.size()) + "]";
    if (!item.is_object()) {
      args.wrong(where, item);
      return out;
    }
    const json::object& record = item.get_object();
    for (const std::string_view name : {"inputs", "expectations", "tags", "source"}) {
      const json::value* value = record.if_contains(name);
      if (value != nullptr && !value->is_null() && !value->is_object())
        args.wrong(where + "." + std::string(name), *value);
    }
    traces::EvalRecord& added = out.records.emplace_back();
    added.inputs = part(record, "inputs");
    added.has_outputs = record.contains("outputs");
    added.outputs = part(record, "outputs");
    added.expectations = part(record, "expectations");
    added.tags = part(record, "tags");
    added.source = part(record, "source");
  }
  return out;
}

void write_dataset(JsonWriter& out, const traces::EvalDataset& dataset, bool with_experiments) {
  out.begin_object().field("dataset_id", dataset.dataset_id).field("name", dataset.name);
  json::object tags;
  for (const track::Tag& tag : dataset.tags) tags[tag.key] = tag.value;
  out.field("tags", base::to_text(tags));
  if (dataset.schema) out.field("schema", *dataset.schema);
  if (dataset.record_count > 0) out.field("profile", "{\"num_records\": " + std::to_string(dataset.record_count) + "}");
  out.field("digest", dataset.digest).field("created_time", dataset.created_ms);
  out.field("last_update_time", dataset.updated_ms);
  if (dataset.created_by) out.field("created_by", *dataset.created_by);
  if (dataset.updated_by) out.field("last_updated_by", *dataset.updated_by);
  if (with_experiments && !dataset.experiment_ids.empty()) {
    out.key("experiment_ids").begin_array();
    for (const std::string& id : dataset.experiment_ids) out.value(id);
    out.end_array();
  }
  out.end_object();
}

template <bool with_experiments>
void render(JsonWriter& out, const traces::EvalDataset& dataset) {
  out.key("dataset");
  write_dataset(out, dataset, with_experiments);
}

traces::DatasetSearch parse_search(Args& args) {
  traces::DatasetSearch out;
  out.experiment_ids = args.texts("experiment_ids");
  out.filter = args.text("filter_string");
  if (const auto size = args.integer("max_results"); size && *size != 0) out.max_results = *size;
  out.order_by = args.texts("order_by");
  out.page_token = args.text("page_token");
  return out;
}

void render_page(JsonWriter& out, const track::Page<traces::EvalDataset>& page) {
  if (!page.rows.empty()) {
    out.key("datasets").begin_array();
    for (const traces::EvalDataset& dataset : page.rows) write_dataset(out, dataset, false);
    out.end_array();
  }
  if (!page.next_token.empty()) out.field("next_page_token", page.next_token);
}

traces::DatasetExperiments parse_experiments(Args& args) {
  return {args.path_param("dataset_id"), args.texts("experiment_ids")};
}

}  // namespace

void add_evaluation_dataset_routes(Door& door) {
  const auto parse_id = [](Args& args) { return args.path_param("dataset_id"); };
  door.write(
      Method::kPost, "datasets/create",
      [](Args& args) {
        traces::NewEvalDataset out{args.required_text("name"), args.texts("experiment_ids"), {}};
        std::vector<std::string> removed;
        parse_tags(args, "tags", out.tags, removed);
        return out;
      },
      traces::create_dataset, render<true>);
  for (const Method method : {Method::kPost, Method::kGet}) {
    door.read(method, "datasets/search", parse_search, traces::search_datasets, render_page);
  }
  door.point(
      Method::kGet, "datasets/{dataset_id}", parse_id,
      [](Tx& tx, const std::string& id) { return traces::get_dataset(tx, id); }, render<false>);
  door.write(Method::kDelete, "datasets/{dataset_id}", parse_id,
             [](Tx& tx, const std::string& id) { return traces::delete_dataset(tx, id); });
  door.write(
      Method::kPatch, "datasets/{dataset_id}/tags",
      [](Args& args) {
        traces::DatasetTagEdit out{args.path_param("dataset_id"), {}, {}};
        if (args.required_text("tags").empty()) return out;
        parse_tags(args, "tags", out.set, out.removed);
        return out;
      },
      traces::edit_dataset_tags);
  door.write(
      Method::kDelete, "datasets/{dataset_id}/tags/{key...}",
      [](Args& args) { return traces::DatasetTagEdit{args.path_param("dataset_id"), {}, {args.path_param("key")}}; },
      traces::edit_dataset_tags);
  door.read(
      Method::kGet, "datasets/{dataset_id}/records",
      [](Args& args) {
        traces::RecordPageQuery out{args.path_param("dataset_id"), 1000, args.text("page_token")};
        if (const auto size = args.integer("max_results"); size && *size != 0) out.max_results = *size;
        return out;
      },
      traces::read_records,
      [](JsonWriter& out, const traces::RecordPage& page) {
        out.field("records", page.json);
        if (!page.next_token.empty()) out.field("next_page_token", page.next_token);
      });
  door.write(
      Method::kPost, "datasets/{dataset_id}/records", parse_upsert, traces::upsert_records,
      [](JsonWriter& out, const traces::Upserted& done) {
        out.field("inserted_count", done.inserted).field("updated_count", done.updated);
      },
      kRecordsBody);
  door.write(
      Method::kDelete, "datasets/{dataset_id}/records",
      [](Args& args) {
        return traces::RecordDeletion{args.path_param("dataset_id"), args.texts("dataset_record_ids")};
      },
      traces::delete_records, [](JsonWriter& out, int64_t count) { out.field("deleted_count", count); });
  door.point(
      Method::kGet, "datasets/{dataset_id}/experiment-ids", parse_id,
      [](Tx& tx, const std::string& id) -> Result<std::vector<std::string>> {
        const auto dataset = traces::get_dataset(tx, id);
        if (!dataset && dataset.error().code == base::Code::kNotFound) return std::vector<std::string>();
        if (!dataset) return std::unexpected(dataset.error());
        return dataset->experiment_ids;
      },
      [](JsonWriter& out, const std::vector<std::string>& ids) {
        if (ids.empty()) return;
        out.key("experiment_ids").begin_array();
        for (const std::string& id : ids) out.value(id);
        out.end_array();
      });
  door.write(Method::kPost, "datasets/{dataset_id}/add-experiments", parse_experiments, traces::add_to_experiments,
             render<false>);
  door.write(Method::kPost, "datasets/{dataset_id}/remove-experiments", parse_experiments,
             traces::remove_from_experiments, render<false>);
}

}  // namespace api::mlflow
