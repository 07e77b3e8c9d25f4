// What must be known of an ONNX file before a library may open it, read from its protobuf bytes directly: where its
// external tensors lie, and which classes its scores belong to. A malformed file is an error, never a crash.
//
// Thread: free functions, safe anywhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/result.h"

namespace serve {

struct OnnxFacts {
  std::vector<std::string> external_files;  // locations as written in the file
  std::vector<std::string> classes;         // of the last classifier (or ZipMap) node; numbers as text
};

base::Result<OnnxFacts> scan_onnx(std::string_view bytes);

// Reads `file` and refuses it unless every external tensor lies inside its own folder, links followed.
base::Result<OnnxFacts> inspect_onnx(const base::Path& file);

}  // namespace serve
