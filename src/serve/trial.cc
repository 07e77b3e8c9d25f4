#include "serve/trial.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/json.h"
#include "base/process.h"
#include "serve/json_rows.h"
#include "serve/mlmodel.h"

namespace serve {
namespace {

namespace json = base::json;

constexpr int kRefused = 3;  // exit code: the error is on stdout
constexpr int kTooMuchMemory = 4;
constexpr size_t kMaxExampleBytes = size_t{16} << 20;
constexpr double kTolerance = 1e-4;  // relative: another build of the library may round differently

// One row of zeros: every open dimension is 1.
std::vector<Tensor> zeros(const std::vector<TensorInfo>& infos) {
  std::vector<Tensor> out;
  for (const TensorInfo& info : infos) {
    Tensor tensor{.name = info.name, .type = info.type, .shape = info.shape};
    size_t count = 1;
    for (int64_t& dim : tensor.shape) {
      if (dim < 0) dim = 1;
      count *= static_cast<size_t>(dim);
    }
    if (info.type == DataType::kBytes) {
      tensor.strings.resize(count);
    } else {
      tensor.bytes.assign(count * byte_size(info.type), 0);
    }
    out.push_back(std::move(tensor));
  }
  return out;
}

base::Result<Tensor> column_tensor(const stats::Column& column, const TensorInfo& info) {
  Tensor tensor{.name = info.name, .type = info.type, .shape = {static_cast<int64_t>(column.size())}};
  for (size_t row = 0; row < column.size(); ++row) {
    if (column.numeric() != (info.type != DataType::kBytes) ||
        (column.numeric() && !append_number(tensor, column.numbers()[row]))) {
      return base::invalid("column '" + info.name + "' does not fit " + std::string(name(info.type)));
    }
    if (!column.numeric()) tensor.strings.push_back(column.texts()[row].value_or(""));
  }
  return tensor;
}

// MLflow's example files: nested lists, {"columns", "data"}, {"inputs": …}, or {"name": list}. They were logged by the
// training code, so they hold what the model itself takes, after any transform of the data.
base::Result<std::vector<Tensor>> example_tensors(const Model& model, const json::value& example) {
  const auto& infos = model.inputs();
  const json::object* object = example.if_object();
  if (object && object->if_contains("inputs")) return example_tensors(model, object->at("inputs"));
  std::vector<Tensor> out;
  if (!object) {
    if (infos.size() != 1)
      return base::invalid("a list, but the model has " + std::to_string(infos.size()) + " inputs");
    TRY_SET(Tensor tensor, tensor_from_json(example, infos[0]));
    out.push_back(std::move(tensor));
    return out;
  }
  const json::value* data = object->if_contains("data");
  if (data && infos.size() == 1) {
    TRY_SET(Tensor tensor, tensor_from_json(*data, infos[0]));
    out.push_back(std::move(tensor));
    return out;
  }
  stats::Table table;
  if (data) {
    TRY_SET(table, table_from_split(*object));
  }
  for (const TensorInfo& info : infos) {
    const json::value* field = data ? nullptr : object->if_contains(info.name);
    const stats::Column* column = table.find(info.name);
    if (!field && !column) return base::invalid("input '" + info.name + "' is not in it");
    TRY_SET(Tensor tensor, field ? tensor_from_json(*field, info) : column_tensor(*column, info));
    if (tensor.shape.size() + 1 == info.shape.size()) tensor.shape.push_back(1);
    out.push_back(std::move(tensor));
  }
  return out;
}

bool same_answer(const std::string& got, const json::value& want) {
  if (want.is_string()) return got == std::string_view(want.as_string().data(), want.as_string().size());
  if (!want.is_number()) return got == base::to_text(want);
  char* end = nullptr;
  const double number = std::strtod(got.c_str(), &end);
  const double wanted = want.to_number<double>();
  return end != got.c_str() && std::abs(number - wanted) <= kTolerance * std::max(1.0, std::abs(wanted));
}

base::Result<void> compare(const Predictor& predictor, const std::vector<Tensor>& outputs, const base::Path& file) {
  TRY_SET(const std::string text, base::read_file(file, kMaxExampleBytes));
  TRY_SET(const json::value value, base::parse_json(text));
  TRY_SET(const json::object* object, base::as_object(value, "output_example.json"));
  TRY_SET(const json::array* want, base::required_array(*object, "predictions"));
  const Prediction got = predictor.read(outputs);
  if (got.labels.size() != want->size()) {
    return base::invalid("the model's own example has " + std::to_string(want->size()) + " stored answers, it gives " +
                         std::to_string(got.labels.size()));
  }
  for (size_t row = 0; row < want->size(); ++row) {
    if (!same_answer(got.labels[row], (*want)[row])) {
      return base::invalid("the model does not give the answers stored with its own example: row " +
                           std::to_string(row) + " is " + got.labels[row] + ", stored is " +
                           base::to_text((*want)[row]));
    }
  }
  return {};
}

// --- the child ------------------------------------------------------------------------------------------------------

size_t resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (!file) return 0;
  unsigned long total = 0, resident = 0;
  const int read = std::fscanf(file, "%lu %lu", &total, &resident);
  std::fclose(file);
  return read == 2 ? resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

size_t available_bytes() {
  auto text = base::read_file("/proc/meminfo", 1 << 16);
  const size_t at = text ? text->find("MemAvailable:") : std::string::npos;
  return at == std::string::npos ? 0 : std::strtoull(text->c_str() + at + 13, nullptr, 10) * 1024;
}

// The kernel should choose this process, and not the server, if memory runs out between two looks.
void volunteer_for_oom() {
  if (std::FILE* file = std::fopen("/proc/self/oom_score_adj", "we")) {
    std::fputs("1000", file);
    std::fclose(file);
  }
}

void say(const std::string& text) { (void)base::write_all(STDOUT_FILENO, text + "\n"); }

// Ends the process when it has become too large; runs until it ends.
void watch_memory(size_t limit) {
  while (limit > 0) {
    if (resident_bytes() > limit) {
      say(std::string(base::name(base::Code::kInvalid)) + ": the model took more than " + std::to_string(limit >> 20) +
          " MiB of memory");
      ::_exit(kTooMuchMemory);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

base::Result<void> trial(const base::Path& folder, const base::Path& transform_file) {
  TRY_SET(stats::Transform transform, load_transform(transform_file));
  TRY_SET(const std::unique_ptr<Predictor> predictor, Predictor::load(folder, std::move(transform)));
  return warm_up(*predictor, folder);
}

base::Error parse_refusal(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const size_t colon = text.find(": ");
  for (auto code : {base::Code::kInvalid, base::Code::kNotFound, base::Code::kUnsupported, base::Code::kUnavailable}) {
    if (colon != std::string::npos && text.substr(0, colon) == base::name(code)) return {code, text.substr(colon + 2)};
  }
  return {base::Code::kInvalid, std::move(text)};
}

}  // namespace

base::Result<stats::Transform> load_transform(const base::Path& file) {
  if (file.empty()) return stats::Transform();
  TRY_SET(const std::string text, base::read_file(file));
  return stats::Transform::parse(text);
}

base::Result<void> warm_up(const Predictor& predictor, const base::Path& folder) {
  TRY_SET(const ModelFolder found, read_model_folder(folder));
  if (found.input_example.empty()) {
    const std::vector<Tensor> inputs = zeros(predictor.inputs());
    auto ran = predictor.infer(inputs);
    // A Python model may refuse zeros with good reason; that it is there to do so is what counts.
    if (ran || (predictor.waits() && ran.error().code == base::Code::kInvalid)) return {};
    return std::unexpected(std::move(ran).error().within(
        "the model does not run on one row of zeros (log it with input_example= to be tried on that)"));
  }
  TRY_SET(const std::string text, base::read_file(found.input_example, kMaxExampleBytes));
  auto example = base::parse_json(text);
  if (!example) return std::unexpected(std::move(example).error().within("the model's input example"));
  auto inputs = example_tensors(predictor.model(), *example);
  // Python models take more than tensors say (records, texts, whole conversations): those are for clients to try.
  if (!inputs && predictor.waits()) return {};
  if (!inputs) return std::unexpected(std::move(inputs).error().within("the model's input example"));
  auto outputs = predictor.model().run(*inputs);
  if (!outputs)
    return std::unexpected(std::move(outputs).error().within("the model does not run on its own input example"));
  return found.output_example.empty() ? base::Result<void>() : compare(predictor, *outputs, found.output_example);
}

void guard_child(size_t memory_bytes) {
  volunteer_for_oom();
  std::thread(watch_memory, memory_bytes ? memory_bytes : available_bytes() / 2).detach();
}

int run_trial(const base::Path& folder, const base::Path& transform_file, size_t memory_bytes) {
  guard_child(memory_bytes);
  const auto tried = trial(folder, transform_file);
  if (!tried) say(std::string(base::name(tried.error().code)) + ": " + tried.error().message);
  ::_exit(tried ? 0 : kRefused);  // without the library's own exit handlers: what they do is not the model's fault
}

base::Result<void> try_in_child(const base::Path& self, const base::Path& folder, const base::Path& transform_file,
                                const TrialLimits& limits) {
  base::ChildSpec spec{.argv = {self.string(), "child", "try-model", folder.string(), transform_file.string(),
                                std::to_string(limits.memory_bytes)},
                       .env = base::allowed_environment(),
                       .timeout_us = limits.timeout_us};
  for (const char* name : {"LATHE_ONNXRUNTIME", "VIRTUAL_ENV"}) {
    if (const char* value = std::getenv(name)) spec.env[name] = value;
  }
  TRY_SET(const base::ChildResult child, base::run_child(spec));
  if (child.ok()) return {};
  if ((child.exit_code == kRefused || child.exit_code == kTooMuchMemory) && !child.out.empty()) {
    return std::unexpected(parse_refusal(child.out));
  }
  return base::invalid("the model was tried in a process of its own, which ended with " + child.describe() +
                       (child.err.empty() ? "" : ": " + child.err.substr(0, 500)));
}

}  // namespace serve
