// Boosted trees without a server: trees_bench MODEL_DIR ROWS COLUMNS [CALLS | shap | lightgbm LIBRARY | xgboost
// LIBRARY]
//
// ROWS is a file of doubles, row after row. Without CALLS the model's outputs are written to stdout as bytes, one
// output after the other (labels as text lines if they are text): what a test compares with the library's own. With
// CALLS, one row after the other is run so often, and the nanoseconds of CPU of a call are printed, the best of nine
// rounds. With a library, that one's own call for one row is measured so, through its C functions: MODEL_DIR is then
// the model's file. With `shap`, the contributions are written.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/fs.h"
#include "serve/model.h"

namespace {

serve::Tensor tensor_of(const serve::TensorInfo& info, const double* rows, size_t count, size_t columns) {
  serve::Tensor tensor{.name = info.name, .type = info.type};
  tensor.shape = {static_cast<int64_t>(count), static_cast<int64_t>(columns)};
  for (size_t i = 0; i < count * columns; ++i) serve::append_number(tensor, rows[i]);
  return tensor;
}

constexpr size_t kLibraryCalls = 2000;

double cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

int measure(size_t calls, const std::function<bool(size_t)>& call) {
  double best = 0;
  for (int round = 0; round < 9; ++round) {
    const double start = cpu_ns();
    for (size_t i = 0; i < calls; ++i) {
      if (!call(i)) return std::fprintf(stderr, "a call failed\n"), 1;
    }
    const double ns = (cpu_ns() - start) / static_cast<double>(calls);
    if (round == 0 || ns < best) best = ns;
  }
  std::printf("%.1f\n", best);
  return 0;
}

template <class Function>
Function* symbol(void* library, const char* name) {
  void* found = dlsym(library, name);
  if (!found) std::fprintf(stderr, "%s is not in the library\n", name), std::exit(1);
  return reinterpret_cast<Function*>(found);
}

// The fast call for one row, with everything prepared beforehand.
int lightgbm(void* library, const char* model, const std::vector<double>& rows, int columns) {
  constexpr int kFloat64 = 1, kNormal = 0;
  void *booster = nullptr, *fast = nullptr;
  int rounds = 0;
  symbol<int(const char*, int*, void**)>(library, "LGBM_BoosterCreateFromModelfile")(model, &rounds, &booster);
  symbol<int(void*, int, int, int, int, int, const char*, void**)>(
      library, "LGBM_BoosterPredictForMatSingleRowFastInit")(booster, kNormal, 0, -1, kFloat64, columns,
                                                             "num_threads=1", &fast);
  const auto predict =
      symbol<int(void*, const void*, int64_t*, double*)>(library, "LGBM_BoosterPredictForMatSingleRowFast");
  const size_t count = rows.size() / static_cast<size_t>(columns);
  std::vector<double> out(1024);
  return measure(kLibraryCalls, [&](size_t i) {
    int64_t length = 0;
    return predict(fast, &rows[i % count * static_cast<size_t>(columns)], &length, out.data()) == 0;
  });
}

// Prediction from a dense array in place: the shortest way that its C functions have.
int xgboost(void* library, const char* model, const std::vector<double>& rows, size_t columns) {
  void* booster = nullptr;
  symbol<int(const void*, uint64_t, void**)>(library, "XGBoosterCreate")(nullptr, 0, &booster);
  symbol<int(void*, const char*)>(library, "XGBoosterLoadModel")(booster, model);
  symbol<int(void*, const char*, const char*)>(library, "XGBoosterSetParam")(booster, "nthread", "1");
  using Predict = int(void*, const char*, const char*, void*, const uint64_t**, uint64_t*, const float**);
  const auto predict = symbol<Predict>(library, "XGBoosterPredictFromDense");
  const std::vector<float> floats(rows.begin(), rows.end());
  const size_t count = rows.size() / columns;
  std::vector<std::string> arrays;
  for (size_t i = 0; i < count; ++i) {
    arrays.push_back("{\"data\":[" + std::to_string(reinterpret_cast<uintptr_t>(&floats[i * columns])) +
                     ",true],\"shape\":[1," + std::to_string(columns) + "],\"typestr\":\"<f4\",\"version\":3}");
  }
  const char* config =
      "{\"type\":0,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":false,"
      "\"cache_id\":0,\"missing\":NaN}";
  return measure(kLibraryCalls / 10, [&](size_t i) {
    const uint64_t* shape = nullptr;
    uint64_t dimensions = 0;
    const float* out = nullptr;
    return predict(booster, arrays[i % count].c_str(), config, nullptr, &shape, &dimensions, &out) == 0;
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4)
    return std::fprintf(stderr, "trees_bench MODEL ROWS COLUMNS [CALLS | shap | lightgbm LIBRARY | xgboost LIBRARY]\n"),
           2;
  const auto bytes = base::read_file(argv[2], size_t{1} << 30);
  const size_t columns = std::strtoull(argv[3], nullptr, 10);
  if (!bytes || columns == 0) return std::fprintf(stderr, "no rows\n"), 1;
  std::vector<double> rows(bytes->size() / sizeof(double));
  std::memcpy(rows.data(), bytes->data(), rows.size() * sizeof(double));
  const std::string how = argc > 4 ? argv[4] : "";
  if (argc > 5) {
    void* library = dlopen(argv[5], RTLD_NOW | RTLD_LOCAL);
    if (!library) return std::fprintf(stderr, "%s\n", dlerror()), 1;
    return how == "lightgbm" ? lightgbm(library, argv[1], rows, static_cast<int>(columns))
                             : xgboost(library, argv[1], rows, columns);
  }
  auto predictor = serve::Predictor::load(argv[1], {});
  if (!predictor) return std::fprintf(stderr, "%s\n", predictor.error().message.c_str()), 1;
  const serve::Model& model = (*predictor)->model();
  if (!how.empty() && how != "shap") {
    const size_t count = rows.size() / columns;
    std::vector<serve::Tensor> tensors;
    for (size_t i = 0; i < count; ++i) tensors.push_back(tensor_of(model.inputs()[0], &rows[i * columns], 1, columns));
    return measure(std::strtoull(argv[4], nullptr, 10),
                   [&](size_t i) { return bool(model.run({&tensors[i % count], 1})); });
  }
  const serve::Tensor input = tensor_of(model.inputs()[0], rows.data(), rows.size() / columns, columns);
  if (how == "shap") {
    const auto explained = model.contributions({&input, 1});
    if (!explained) return std::fprintf(stderr, "%s\n", explained.error().message.c_str()), 1;
    std::fwrite(explained->values.data(), sizeof(double), explained->values.size(), stdout);
    return 0;
  }
  const auto outputs = model.run({&input, 1});
  if (!outputs) return std::fprintf(stderr, "%s\n", outputs.error().message.c_str()), 1;
  for (const serve::Tensor& output : *outputs) {
    std::fwrite(output.bytes.data(), 1, output.bytes.size(), stdout);
    for (const std::string& text : output.strings) std::printf("%s\n", text.c_str());
  }
  return 0;
}
