// ONNX Runtime with nothing around it: what the programs that are ceilings run. For bench/ only.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

#include "serve/onnx_library.h"

namespace bench {

class Model {
 public:
  explicit Model(const char* file) {
    const auto library = serve::onnx_library();
    if (!library) {
      std::fprintf(stderr, "%s\n", library.error().message.c_str());
      std::exit(1);
    }
    lib_ = *library;
    api_ = lib_->api;
    OrtSessionOptions* options = nullptr;
    ok(api_->CreateSessionOptions(&options));
    ok(api_->SetIntraOpNumThreads(options, 1));
    ok(api_->SetInterOpNumThreads(options, 1));
    ok(api_->CreateSession(lib_->env, file, options, &session_));
    api_->ReleaseSessionOptions(options);
    ok(api_->SessionGetInputName(session_, 0, lib_->allocator, &input_));
    for (size_t i = 0; i < 2; ++i) ok(api_->SessionGetOutputName(session_, i, lib_->allocator, &outputs_[i]));
  }

  // One row in; `answer` is called with the label and the probabilities.
  template <class Answer>
  bool run(std::vector<float>& row, Answer answer) {
    const int64_t shape[2] = {1, static_cast<int64_t>(row.size())};
    OrtValue* input = nullptr;
    OrtValue* results[2] = {nullptr, nullptr};
    ok(api_->CreateTensorWithDataAsOrtValue(lib_->cpu, row.data(), row.size() * sizeof(float), shape, 2,
                                            ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &input));
    const OrtValue* inputs[1] = {input};
    const bool ran = ok(api_->Run(session_, nullptr, &input_, inputs, 1, outputs_, 2, results), false);
    api_->ReleaseValue(input);
    if (!ran) return false;
    int64_t* label = nullptr;
    float* scores = nullptr;
    OrtTensorTypeAndShapeInfo* info = nullptr;
    size_t count = 0;
    ok(api_->GetTensorMutableData(results[0], reinterpret_cast<void**>(&label)));
    ok(api_->GetTensorMutableData(results[1], reinterpret_cast<void**>(&scores)));
    ok(api_->GetTensorTypeAndShape(results[1], &info));
    ok(api_->GetTensorShapeElementCount(info, &count));
    api_->ReleaseTensorTypeAndShapeInfo(info);
    answer(*label, std::span<const float>(scores, count));
    for (OrtValue* result : results) api_->ReleaseValue(result);
    return true;
  }

 private:
  bool ok(OrtStatus* status, bool fatal = true) {
    if (!status) return true;
    std::fprintf(stderr, "%s\n", api_->GetErrorMessage(status));
    api_->ReleaseStatus(status);
    if (fatal) std::exit(1);
    return false;
  }
  const serve::OnnxLibrary* lib_ = nullptr;
  const OrtApi* api_ = nullptr;
  OrtSession* session_ = nullptr;
  char* input_ = nullptr;
  char* outputs_[2] = {nullptr, nullptr};
};

}  // namespace bench
