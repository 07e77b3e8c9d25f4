#include "serve/onnx_library.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <vector>

#include "base/fs.h"
#include "base/install.h"
#include "base/log.h"

namespace serve {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCure =
    "install it with `pip install onnxruntime`, or set LATHE_ONNXRUNTIME to libonnxruntime.so";

// libonnxruntime.so* in a folder, highest name first.
void add_libraries(const fs::path& folder, std::vector<std::string>& out) {
  std::error_code error;
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().filename().string().starts_with("libonnxruntime.so")) found.push_back(entry.path().string());
  }
  std::ranges::sort(found, std::greater<>());
  out.insert(out.end(), found.begin(), found.end());
}

void add_wheel(const fs::path& environment, std::vector<std::string>& out) {
  std::error_code error;
  for (const auto& python : fs::directory_iterator(environment / "lib", error)) {
    if (python.path().filename().string().starts_with("python")) {
      add_libraries(python.path() / "site-packages" / "onnxruntime" / "capi", out);
    }
  }
}

std::vector<std::string> candidates() {
  std::vector<std::string> out;
  std::error_code error;
  const auto self = base::executable_path();
  for (const base::Path& folder : base::library_folders()) add_libraries(folder, out);
  // In a wheel we are site-packages/lathe/bin/lathe, and the `onnxruntime` that it depends on is a neighbour.
  if (self) add_libraries(self->parent_path().parent_path().parent_path() / "onnxruntime" / "capi", out);
  out.insert(out.end(), {"libonnxruntime.so", "libonnxruntime.so.1"});  // the loader's path
  if (const char* active = std::getenv("VIRTUAL_ENV"); active && *active) add_wheel(active, out);
  add_wheel(fs::current_path(error) / ".venv", out);
  // build/<preset>/lathe lies two folders below the project; tests a little deeper.
  if (self) {
    fs::path folder = self->parent_path();
    for (int up = 0; up < 5 && folder.has_relative_path(); ++up, folder = folder.parent_path())
      add_wheel(folder / ".venv", out);
  }
  return out;
}

void log_line(void*, OrtLoggingLevel level, const char* category, const char*, const char*, const char* message) {
  base::log::write(level >= ORT_LOGGING_LEVEL_ERROR ? base::log::Level::kWarn : base::log::Level::kDebug, "onnxruntime",
                   {{"category", category}, {"message", message}});
}

base::Result<void> open_api(void* handle, OnnxLibrary& out) {
  using GetBase = const OrtApiBase*(ORT_API_CALL*)();
  auto get_base = reinterpret_cast<GetBase>(::dlsym(handle, "OrtGetApiBase"));
  if (!get_base) return base::fail(base::Code::kUnavailable, "it has no OrtGetApiBase: not ONNX Runtime");
  const OrtApiBase* base_api = get_base();
  out.version = base_api->GetVersionString();
  out.api = base_api->GetApi(ORT_API_VERSION);
  if (!out.api) {
    return base::fail(base::Code::kUnavailable, "version " + out.version + " is too old; at least 1." +
                                                    std::to_string(ORT_API_VERSION) + " is needed");
  }
  const auto ok = [&](OrtStatus* status) {
    if (status) out.api->ReleaseStatus(status);
    return status == nullptr;
  };
  // Only errors reach the log: warnings about unused initialisers are not news to whoever deploys.
  if (!ok(out.api->CreateEnvWithCustomLogger(log_line, nullptr, ORT_LOGGING_LEVEL_ERROR, "lathe", &out.env)) ||
      !ok(out.api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &out.cpu)) ||
      !ok(out.api->GetAllocatorWithDefaultOptions(&out.allocator))) {
    return base::fail(base::Code::kUnavailable, "version " + out.version + " could not be initialised");
  }
  return {};
}

base::Result<OnnxLibrary> open_library() {
  std::vector<std::string> names;
  const char* forced = std::getenv("LATHE_ONNXRUNTIME");
  if (forced && *forced) {
    names.emplace_back(forced);
  } else {
    names = candidates();
  }
  std::string trouble;
  for (const std::string& name : names) {
    void* handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      // A bare name that the loader does not know is the normal case, not news.
      if (const char* why = ::dlerror(); why && name.find('/') != std::string::npos) trouble += "; " + std::string(why);
      continue;
    }
    OnnxLibrary library;
    if (auto opened = open_api(handle, library); !opened) {
      trouble += "; " + name + ": " + opened.error().message;
      ::dlclose(handle);
      continue;
    }
    Dl_info info{};
    library.path =
        ::dladdr(reinterpret_cast<void*>(library.api->CreateSession), &info) && info.dli_fname ? info.dli_fname : name;
    return library;
  }
  return base::fail(base::Code::kUnavailable,
                    "ONNX Runtime is needed to run ONNX models and was not found: " + std::string(kCure) + trouble);
}

}  // namespace

base::Result<const OnnxLibrary*> onnx_library() {
  static std::mutex mutex;
  static const OnnxLibrary* opened = nullptr;  // lives as long as the process: the library starts threads of its own
  std::lock_guard lock(mutex);
  if (!opened) {
    TRY_SET(OnnxLibrary library, open_library());
    opened = new OnnxLibrary(std::move(library));
  }
  return opened;
}

}  // namespace serve
