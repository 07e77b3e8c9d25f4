#include <algorithm>
#include <cmath>

#include "api/lathe/errors.h"
#include "api/lathe/loop_json.h"
#include "api/lathe/page_args.h"
#include "api/lathe/pages_models.h"
#include "api/lathe/routes.h"
#include "loop/evaluated_rows.h"
#include "loop/model_view.h"
#include "track/run_table.h"

namespace api::lathe {

namespace {

constexpr size_t kMaxPredictionBytes = size_t{1} << 30;

using store::Tx;

// An evaluation names its model by id; a person by name and version, or by the run that made it.
struct Named {
  loop::Evaluation evaluation;
  std::string model_name;  // of the logged model
  std::string run_id, run_name;
  std::string version;  // "name/3" once registered
  std::string data_name;
  int64_t data_number = 0;
};

Named name_it(Tx& tx, loop::Evaluation evaluation) {
  Named out;
  out.version = evaluation.model_version;
  if (const auto model = track::get_logged_model(tx, evaluation.subject)) {
    out.model_name = model->name;
    out.run_id = model->source_run_id;
    if (const auto run = track::get_run_info(tx, out.run_id)) out.run_name = run->name;
    const auto versions = track::versions_of(tx, "", evaluation.subject);
    if (!versions.empty()) out.version = versions[0].name + "/" + std::to_string(versions[0].version);
  }
  if (const auto data = data::get_version(tx, evaluation.data_version)) {
    out.data_name = data->name;
    out.data_number = data->number;
  }
  out.evaluation = std::move(evaluation);
  return out;
}

void write_named(base::JsonWriter& w, const Named& named, bool with_summary) {
  w.begin_object().key("evaluation");
  write_evaluation(w, named.evaluation, with_summary);
  w.field("model_name", named.model_name).field("run_id", named.run_id).field("run_name", named.run_name);
  w.field("version", named.version).field("data_name", named.data_name).field("data_number", named.data_number);
  w.end_object();
}

base::Task<void> get_evaluations(const LoopDoor& door, net::Request& request, net::Response& response) {
  PageArgs args(request);
  const std::string subject = args.text("model"), after = args.text("after");
  const auto limit = static_cast<size_t>(args.integer("limit", 200, 1, 500));
  if (const auto good = args.status(); !good) co_return fail(response, request, good.error());
  auto read = [&](Tx& tx) -> base::Result<std::vector<Named>> {
    std::vector<Named> out;
    for (auto& e : loop::evaluations_page(tx, subject, after, limit)) out.push_back(name_it(tx, std::move(e)));
    TRY(tx.status());
    return out;
  };
  const auto found = co_await door.store.read(request.ctx, read);
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().key("evaluations").begin_array();
  for (const Named& named : *found) write_named(w, named, false);
  w.end_array();
  if (found->size() == limit) w.field("next", found->back().evaluation.id);
  w.end_object();
  response.send_json(std::move(body));
}

struct Page {
  Named named;
  std::vector<Named> others;  // of the same rows: what it can be compared with
  std::vector<std::string> features;
  std::string label;
  std::optional<loop::Verdict> verdict;
};

base::Task<void> get_page(const LoopDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("id"));
  auto read = [&](Tx& tx) -> base::Result<Page> {
    Page out;
    TRY_SET(auto evaluation, loop::get_evaluation(tx, id));
    for (auto& other : loop::evaluations_of_rows(tx, evaluation.rows_digest)) {
      if (other.id != id) out.others.push_back(name_it(tx, std::move(other)));
    }
    if (auto verdict = loop::verdict_of_run(tx, evaluation.run)) out.verdict = std::move(*verdict);
    if (const auto data = data::get_version(tx, evaluation.data_version)) {
      out.features = data->features;
      out.label = data->label;
    }
    out.named = name_it(tx, std::move(evaluation));
    TRY(tx.status());
    return out;
  };
  const auto found = co_await door.store.read(request.ctx, read);
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().key("page");
  write_named(w, found->named, true);
  w.key("others").begin_array();
  for (const Named& other : found->others) write_named(w, other, false);
  w.end_array().key("features").begin_array();
  for (const std::string& feature : found->features) w.value(feature);
  w.end_array().field("label", found->label).key("verdict");
  found->verdict ? write_verdict(w, *found->verdict) : static_cast<void>(w.null());
  w.end_object();
  response.send_json(std::move(body));
}

// --- rows ------------------------------------------------------------------------------------------------------------

struct RowsRequest {
  std::string id, against;
  loop::RowFilter filter;
  size_t offset = 0, limit = 100;
  bool inputs = true;
};

base::Result<RowsRequest> parse_rows(const net::Request& request) {
  PageArgs args(request);
  RowsRequest out{.id = std::string(request.param("id")), .against = args.text("against")};
  if (request.query_value("label")) out.filter.truth = args.text("label");
  if (request.query_value("predicted")) out.filter.predicted = args.text("predicted");
  out.filter.wrong = args.flag("wrong");
  out.filter.disagree = args.flag("disagree");
  out.filter.slice_column = args.text("slice");
  out.filter.slice_value = args.text("value");
  out.offset = static_cast<size_t>(args.integer("offset", 0, 0, loop::kMaxScoredRows));
  out.limit = static_cast<size_t>(args.integer("limit", 100, 1, loop::kMaxShownRows));
  TRY(args.status());
  if (out.filter.disagree && out.against.empty())
    return base::invalid("'disagree' needs 'against': the evaluation to compare with");
  return out;
}

struct RowFiles {
  loop::Evaluation evaluation;
  std::optional<loop::Evaluation> other;
  std::optional<blob::Artifact> part;  // none: gone
  std::vector<std::string> features;
};

base::Result<RowFiles> find_files(Tx& tx, const RowsRequest& in) {
  RowFiles out;
  TRY_SET(out.evaluation, loop::get_evaluation(tx, in.id));
  if (!in.against.empty()) {
    TRY_SET(out.other, loop::get_evaluation(tx, in.against));
  }
  if (out.other && out.other->rows_digest != out.evaluation.rows_digest)
    return base::fail(base::Code::kConflict, "the two evaluations were made on different rows");
  if (auto part = loop::part_file(tx, out.evaluation.data_version, out.evaluation.part)) out.part = std::move(*part);
  if (const auto data = data::get_version(tx, out.evaluation.data_version)) out.features = data->features;
  TRY(tx.status());
  return out;
}

base::Result<loop::ScoredRows> load_predictions(blob::BlobStore& blobs, const loop::Evaluation& e) {
  TRY_SET(const auto digest, base::Digest::from_hex(base::HashAlgo::kSha256, e.predictions));
  TRY_SET(const auto csv, blobs.get(digest, kMaxPredictionBytes));
  return loop::read_predictions(csv);
}

// Reads files: on a worker.
base::Result<std::string> rows_json(blob::BlobStore& blobs, const RowFiles& files, const RowsRequest& in) {
  TRY_SET(const auto scored, load_predictions(blobs, files.evaluation));
  std::optional<loop::ScoredRows> other;
  if (files.other) {
    TRY_SET(other, load_predictions(blobs, *files.other));
  }
  std::optional<stats::Table> table;
  if (files.part && static_cast<size_t>(files.part->size) <= loop::kMaxShownPartBytes) {
    TRY_SET(const auto csv, blobs.get(files.part->digest, loop::kMaxShownPartBytes));
    TRY_SET(table, stats::parse_csv(csv));
  }
  TRY_SET(const auto page, loop::evaluated_rows(scored, other ? &*other : nullptr, table ? &*table : nullptr, in.filter,
                                                in.offset, in.limit));
  std::vector<const stats::Column*> features;
  for (const std::string& name : files.features) {
    if (const auto* column = table ? table->find(name) : nullptr) features.push_back(column);
  }
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().field("matches", page.matches).field("rows_total", files.evaluation.rows);
  w.key("features").begin_array();
  for (const auto* column : features) w.value(column->name);
  w.end_array().key("rows").begin_array();
  for (const loop::RowView& row : page.rows) {
    w.begin_object().field("row", row.row).field("label", row.truth).field("predicted", row.predicted);
    if (row.score) w.field("score", *row.score);
    if (other) w.field("other", row.other);
    if (row.other_score) w.field("other_score", *row.other_score);
    w.key("input").begin_array();
    for (const auto* column : features) {
      const auto at = static_cast<size_t>(row.row);
      if (at >= column->size()) break;
      if (column->numeric()) {
        std::isnan(column->numbers()[at]) ? w.null() : w.value(column->numbers()[at]);
      } else {
        column->texts()[at] ? w.value(*column->texts()[at]) : w.null();
      }
    }
    w.end_array().end_object();
  }
  w.end_array().end_object();
  return body;
}

base::Task<void> get_rows(const LoopDoor& door, net::Request& request, net::Response& response) {
  const auto in = parse_rows(request);
  if (!in) co_return fail(response, request, in.error());
  const auto files = co_await door.store.read(request.ctx, [&](Tx& tx) { return find_files(tx, *in); });
  if (!files) co_return fail(response, request, files.error());
  auto body = co_await door.offload.run([&] { return rows_json(door.blobs, *files, *in); });
  if (!body) co_return fail(response, request, body.error());
  response.send_json(std::move(*body));
}

}  // namespace

void add_pages_evaluations_routes(net::RouteTable& routes, const LoopDoor& door) {
  const auto add = page_adder(routes, door);
  add("/evaluations", get_evaluations);
  add("/evaluations/{id}", get_page);
  add("/evaluations/{id}/rows", get_rows);
}

}  // namespace api::lathe
