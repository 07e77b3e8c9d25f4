#include "serve/replay.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/process.h"
#include "serve/capture_format.h"
#include "serve/mirror.h"
#include "serve/replay_graph.h"
#include "serve/trial.h"

namespace serve {
namespace {

constexpr int64_t kReplayTimeoutUs = 120'000'000;
constexpr int kRefusedExit = 3;
constexpr size_t kMaxFileBytes = size_t{512} << 20;
constexpr std::string_view kErrorRole = "error";  // of an answer that is the model's error, in its first label

// Each request with a source of its own: there are few enough of them, and one need not know the others.
void append_request(std::string& out, const CapturedRequest& request) {
  format::append_frame(out, format::encode_source(0, format::source_of(request)));
  std::string payload = format::encode_captured(request);
  format::set_source_number(payload.data(), 0);
  format::append_frame(out, payload);
}

base::Result<std::vector<CapturedRequest>> read_requests(const base::Path& file) {
  TRY_SET(const std::string bytes, base::read_file(file, kMaxFileBytes));
  std::vector<CapturedRequest> out;
  CaptureSource source;
  for (std::string_view rest = bytes; !rest.empty();) {
    const auto frame = format::next_frame(rest);
    if (!frame) return base::internal(file.filename().string() + " is cut off");
    rest.remove_prefix(frame->length);
    uint32_t number = 0;
    if (frame->payload[0] == format::kSourceFrame) {
      TRY_SET(source, format::decode_source(frame->payload, {}, number));
    } else {
      TRY_SET(auto request, format::decode_request(frame->payload, source));
      out.push_back(std::move(request));
    }
  }
  return out;
}

size_t bytes_of(const CapturedRequest& request) {
  size_t bytes = (request.rows.size() + request.scores.size()) * sizeof(double) + request.route.size();
  for (const auto* texts : {&request.texts, &request.labels})
    for (const std::string& text : *texts) bytes += text.size() + sizeof(uint32_t);
  return bytes;
}

stats::Table table_of(const CapturedRequest& request) {
  stats::Table table;
  const size_t numbers = request.features.size(), texts = request.text_features.size();
  for (size_t i = 0; i < numbers; ++i) {
    stats::Numbers column(request.row_count);
    for (size_t row = 0; row < request.row_count; ++row) column[row] = request.rows[row * numbers + i];
    table.columns.push_back({request.features[i], std::move(column)});
  }
  for (size_t i = 0; i < texts; ++i) {
    stats::Texts column(request.row_count);
    for (size_t row = 0; row < request.row_count; ++row)
      if (const std::string& text = request.texts[row * texts + i]; !text.empty()) column[row] = text;
    table.columns.push_back({request.text_features[i], std::move(column)});
  }
  return table;
}

CapturedRequest answer_to(const Predictor& predictor, const CapturedRequest& request, const Call& call = {}) {
  CapturedRequest answer{.id = request.id, .at_us = request.at_us, .row_count = request.row_count};
  const auto fail = [&](const base::Error& error) {
    answer.role = kErrorRole;
    answer.labels = {error.message.substr(0, 500)};
    return answer;
  };
  const auto tensors = predictor.tensors_of(table_of(request));
  if (!tensors) return fail(tensors.error());
  const auto outputs = predictor.infer(*tensors, call);
  if (!outputs) return fail(outputs.error());
  Prediction prediction = predictor.read(*outputs);
  top_scores(prediction, answer.scores);
  answer.labels = std::move(prediction.labels);
  return answer;
}

base::Result<void> answer_all(const base::Path& folder, const base::Path& transform_file, const base::Path& in,
                              const base::Path& out) {
  TRY_SET(stats::Transform transform, load_transform(transform_file));
  TRY_SET(const std::unique_ptr<Predictor> predictor, Predictor::load(folder, std::move(transform)));
  TRY_SET(const auto requests, read_requests(in));
  std::string bytes;
  for (const CapturedRequest& request : requests) append_request(bytes, answer_to(*predictor, request));
  return base::write_file_durably(out, bytes);
}

base::Result<void> answer_all_by_graph(const base::Path& plan_file, const base::Path& in, const base::Path& out) {
  TRY_SET(const std::string plan, base::read_file(plan_file, kMaxFileBytes));
  TRY_SET(GraphReplayer replayer, GraphReplayer::load(plan));
  TRY_SET(const auto requests, read_requests(in));
  std::string bytes;
  for (const CapturedRequest& request : requests) {
    TRY_SET(const GraphRoute route, parse_route(request.route));
    TRY_SET(const Predictor* graph, replayer.predictor_for(route));
    append_request(bytes, answer_to(*graph, request, {.follow = &route}));
  }
  return base::write_file_durably(out, bytes);
}

int end_child(const base::Result<void>& done) {
  if (!done) (void)base::write_all(STDOUT_FILENO, done.error().message);
  ::_exit(done ? 0 : kRefusedExit);  // without the library's own exit handlers
}

// Why a record cannot be replayed, or "".
std::string unreplayable(const CapturedRequest& request, const Revision& target) {
  if (target.graph.empty() == request.routed)
    return request.routed ? "a graph answered it: replay it with one of the graph's revisions"
                          : "a model answered it, not a graph";
  if (!request.role.empty()) return "it is a shadow's answer: replay the one that was given";
  const bool columns = std::ranges::any_of(request.redacted, [](const auto& name) { return name != kClientId; });
  if (columns) return "columns of it were redacted";
  if (request.features.empty() && request.text_features.empty()) return "its rows were not kept";
  return "";
}

std::string differing_bits(std::string_view what, double was, double now) {
  const auto a = std::bit_cast<std::array<unsigned char, 8>>(was), b = std::bit_cast<std::array<unsigned char, 8>>(now);
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i]) continue;
    char text[96];
    std::snprintf(text, sizeof text, "byte %zu of its %.*s is %02x, was %02x", i, static_cast<int>(what.size()),
                  what.data(), b[i], a[i]);
    return text;
  }
  return "";
}

std::string differing_text(const std::string& was, const std::string& now) {
  size_t at = 0;
  while (at < was.size() && at < now.size() && was[at] == now[at]) ++at;
  return "its label differs from byte " + std::to_string(at) + " on";
}

}  // namespace

void compare_replayed(ReplayReport& report, const CapturedRequest& was, const CapturedRequest& now) {
  ++report.requests;
  report.rows += was.row_count;
  bool same = was.labels.size() == now.labels.size() && was.scores.size() == now.scores.size();
  const size_t rows = std::max(was.labels.size(), now.labels.size());
  for (size_t row = 0; row < rows; ++row) {
    ReplayRow one{.id = was.id, .row = static_cast<int64_t>(row)};
    if (row < was.labels.size()) one.was = was.labels[row];
    if (row < now.labels.size()) one.now = now.labels[row];
    if (row < was.scores.size()) one.was_score = was.scores[row];
    if (row < now.scores.size()) one.now_score = now.scores[row];
    if (one.was != one.now) {
      ++report.changed;
      one.detail = differing_text(one.was, one.now);
    }
    if (one.was_score && one.now_score) {
      ++report.scored;
      const double difference = std::abs(*one.now_score - *one.was_score);
      report.score_difference += difference;
      report.most = std::max(report.most, difference);
      if (one.detail.empty()) one.detail = differing_bits("score", *one.was_score, *one.now_score);
    }
    if (one.detail.empty()) continue;
    same = false;
    if (report.differing.size() < kMaxReplayShown) report.differing.push_back(std::move(one));
  }
  report.identical += same;
}

int run_replay(const base::Path& folder, const base::Path& transform, const base::Path& in, const base::Path& out) {
  guard_child(0);
  return end_child(answer_all(folder, transform, in, out));
}

int run_replay_graph(const base::Path& plan, const base::Path& in, const base::Path& out) {
  guard_child(0);
  return end_child(answer_all_by_graph(plan, in, out));
}

base::Result<ReplayReport> replay(Runtime& runtime, const base::Path& self, int64_t project, const Revision& target,
                                  const std::vector<CapturedRequest>& requests) {
  ReplayReport report;
  std::vector<CapturedRequest> sent;
  size_t size = 0;
  for (const CapturedRequest& request : requests) {
    std::string why = unreplayable(request, target);
    if (why.empty() && (sent.size() >= kMaxReplayRequests || size > kMaxReplayBytes))
      why = "past the limit of one replay";
    if (!why.empty()) {
      ++report.skipped[why];
      continue;
    }
    size += bytes_of(request);
    sent.push_back(request);
  }
  if (sent.empty()) return report;
  Runtime::Files files;
  GraphReplayPlan plan;
  if (target.graph.empty()) {
    TRY_SET(files, runtime.files_of(project, target));
  } else {
    TRY_SET(plan, plan_graph_replay(runtime, project, target, sent));
  }
  std::string bytes;
  for (const CapturedRequest& request : sent) append_request(bytes, request);
  TRY_SET(const base::Path scratch, base::make_temp_dir(std::filesystem::temp_directory_path(), "lathe-replay-"));
  const auto answered = [&]() -> base::Result<std::vector<CapturedRequest>> {
    TRY(base::write_file_durably(scratch / "requests", bytes));
    std::vector<std::string> argv{self.string(), "child"};
    if (target.graph.empty()) {
      argv.insert(argv.end(), {"replay", files.folder.string(), files.transform.string()});
    } else {
      TRY(base::write_file_durably(scratch / "plan", plan.text));
      argv.insert(argv.end(), {"replay-graph", (scratch / "plan").string()});
    }
    argv.insert(argv.end(), {(scratch / "requests").string(), (scratch / "answers").string()});
    base::ChildSpec spec{.argv = std::move(argv), .env = base::allowed_environment(), .timeout_us = kReplayTimeoutUs};
    for (const char* name : {"LATHE_ONNXRUNTIME", "LATHE_PYTHON", "VIRTUAL_ENV"}) {
      if (const char* value = std::getenv(name)) spec.env[name] = value;
    }
    if (!files.interpreter.empty()) spec.env["LATHE_PYTHON"] = files.interpreter.string();
    TRY_SET(const base::ChildResult child, base::run_child(spec));
    if (!child.ok())
      return base::invalid("the replay ended with " + child.describe() +
                           (child.out.empty() ? "" : ": " + child.out.substr(0, 500)));
    return read_requests(scratch / "answers");
  }();
  (void)base::remove_tree(scratch);
  if (!answered) return std::unexpected(answered.error());
  if (answered->size() != sent.size()) return base::internal("the replay answered another number of requests");
  for (size_t i = 0; i < sent.size(); ++i) {
    const CapturedRequest& now = (*answered)[i];
    if (now.role == kErrorRole)
      ++report.skipped["the model refused it: " + (now.labels.empty() ? "" : now.labels[0])];
    else
      compare_replayed(report, sent[i], now);
  }
  if (report.scored > 0) report.score_difference /= static_cast<double>(report.scored);
  return report;
}

}  // namespace serve
