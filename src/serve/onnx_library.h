// ONNX Runtime's shared library, found and opened at run time through its C API, so that Lathe is tied to no release of
// it and starts without it. Looked for: LATHE_ONNXRUNTIME (a file), beside this binary or in its ../lib/lathe, the
// `onnxruntime` wheel beside our own, the loader's path, the wheel of VIRTUAL_ENV or of a .venv beside the project.
//
// Include in .cc files only. Thread: safe anywhere; the library stays open until the process ends (it cannot be
// unloaded).
#pragma once

#define ORT_API_MANUAL_INIT
#include <onnxruntime_c_api.h>

#include <string>

#include "base/result.h"

namespace serve {

struct OnnxLibrary {
  const OrtApi* api = nullptr;
  OrtEnv* env = nullptr;
  OrtMemoryInfo* cpu = nullptr;
  OrtAllocator* allocator = nullptr;  // the default one; not owned
  std::string path;
  std::string version;
};

// Opened at the first call; a failure is tried again at the next, so that installing the package needs no restart.
base::Result<const OnnxLibrary*> onnx_library();

}  // namespace serve
