#include "loop/bundle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/process.h"
#include "base/yaml.h"
#include "core/event.h"

namespace loop {

namespace {

std::string root_of(std::string_view id) { return "bundle/" + std::string(id); }

// Outside git nothing says what is ignored; these never belong to a project's own files.
constexpr std::string_view kNeverBundled[] = {
    ".git",        ".lathe",        ".venv",       "venv",         "__pycache__", ".ipynb_checkpoints",
    ".mypy_cache", ".pytest_cache", ".ruff_cache", "node_modules", "mlruns",      ".dvc"};

bool never_bundled(std::string_view name) {
  return std::find(std::begin(kNeverBundled), std::end(kNeverBundled), name) != std::end(kNeverBundled);
}

base::Result<std::string> git(const base::Path& folder, std::vector<std::string> args) {
  base::ChildSpec spec;
  spec.argv = {"/usr/bin/env", "git", "-C", folder.string()};
  spec.argv.insert(spec.argv.end(), args.begin(), args.end());
  spec.env = base::allowed_environment();
  spec.env["GIT_OPTIONAL_LOCKS"] = "0";  // looking must not write
  spec.timeout_us = 60'000'000;
  TRY_SET(const auto result, base::run_child(spec));
  if (!result.ok())
    return base::invalid("git " + args[0] + " in " + folder.string() + " ended with " + result.describe() + ": " +
                         result.err);
  if (result.truncated) return base::fail(base::Code::kTooLarge, "git " + args[0] + " lists too many files");
  return result.out;
}

std::vector<std::string> split_nul(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t end = text.find('\0');
    if (end != 0) out.emplace_back(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return out;
}

// Files below `from`, relative to `folder`.
base::Result<std::vector<std::string>> walk(const base::Path& folder, const base::Path& from) {
  std::vector<std::string> out;
  std::error_code ec;
  std::filesystem::recursive_directory_iterator it(from, ec), end;
  for (; !ec && it != end; it.increment(ec)) {
    if (never_bundled(it->path().filename().string())) {
      it.disable_recursion_pending();
      continue;
    }
    const auto status = it->symlink_status(ec);
    if (ec || !std::filesystem::is_regular_file(status)) continue;
    out.push_back(it->path().lexically_relative(folder).generic_string());
    if (out.size() > kMaxBundleFiles) {
      return base::fail(base::Code::kTooLarge,
                        "more than " + std::to_string(kMaxBundleFiles) + " files under " + from.string() +
                            "; put the project under git and list what does not belong to it in .gitignore");
    }
  }
  if (ec) return base::invalid(from.string() + ": " + ec.message());
  return out;
}

// What `dvc add` put under DVC's care is a project's own although git ignores it: the outs that its .dvc files name.
base::Result<void> add_dvc_tracked(const base::Path& folder, std::vector<std::string>& paths) {
  std::vector<std::string> found;
  for (const std::string& path : paths) {
    std::error_code ec;
    if (!path.ends_with(".dvc") || !std::filesystem::is_regular_file(folder / path, ec)) continue;
    TRY_SET(const std::string text, base::read_file(folder / path, kMaxConfigText));
    TRY_SET(const auto pointer, base::yaml::parse(text, path, {.refuse_yaml11_booleans = false}));
    const auto* outs = pointer.find("outs");
    const auto* wdir = pointer.find("wdir");
    if (outs == nullptr) continue;
    for (const auto& out : outs->items) {
      const auto* name = out.find("path");
      if (name == nullptr) continue;
      const base::Path target =
          (base::Path(path).parent_path() / (wdir ? wdir->scalar : "") / name->scalar).lexically_normal();
      if (!base::is_safe_relative_path(target.string())) continue;  // outside of the project: not part of its bundle
      if (std::filesystem::is_directory(folder / target, ec)) {
        TRY_SET(const auto files, walk(folder, folder / target));
        found.insert(found.end(), files.begin(), files.end());
      } else {
        found.push_back(target.generic_string());  // one that is not there is left out like any deleted file
      }
    }
  }
  paths.insert(paths.end(), found.begin(), found.end());
  return {};
}

// Hashes one file in bounded memory.
base::Result<BundleFile> read_entry(const base::Path& folder, const std::string& path) {
  BundleFile file;
  file.path = path;
  TRY_SET(const base::Fd fd, base::open_file(folder / path, O_RDONLY));
  struct stat st{};
  if (fstat(fd.get(), &st) != 0) return base::errno_error(path, errno);
  file.size = st.st_size;
  file.executable = (st.st_mode & S_IXUSR) != 0;
  if (file.size > kMaxBundleFileBytes)
    return base::fail(base::Code::kTooLarge, path + " has " + std::to_string(file.size) +
                                                 " bytes; a bundle's file may have " +
                                                 std::to_string(kMaxBundleFileBytes) + ": list it in .gitignore");
  base::Hasher hasher(base::HashAlgo::kSha256);
  std::string buffer(1 << 16, '\0');
  for (ssize_t n = 0; (n = ::read(fd.get(), buffer.data(), buffer.size())) != 0;) {
    if (n < 0) return base::errno_error(path, errno);
    hasher.update(std::string_view(buffer.data(), static_cast<size_t>(n)));
  }
  file.digest = hasher.finish();
  return file;
}

}  // namespace

base::Result<CollectedBundle> collect_bundle(const base::Path& folder) {
  CollectedBundle out;
  std::vector<std::string> paths;
  const auto inside = git(folder, {"rev-parse", "--is-inside-work-tree"});
  out.git = inside && inside->starts_with("true");
  if (out.git) {
    TRY_SET(const std::string listing, git(folder, {"ls-files", "-co", "--exclude-standard", "-z"}));
    paths = split_nul(listing);
    if (const auto head = git(folder, {"rev-parse", "HEAD"})) out.commit = head->substr(0, head->find('\n'));
    TRY_SET(const std::string status, git(folder, {"status", "--porcelain", "-z", "--", "."}));
    out.dirty = !status.empty() || out.commit.empty();
  } else {
    TRY_SET(paths, walk(folder, folder));
  }
  TRY(add_dvc_tracked(folder, paths));
  std::sort(paths.begin(), paths.end());
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  for (const auto& path : paths) {
    const base::Path part(path);
    if (std::any_of(part.begin(), part.end(), [](const base::Path& p) { return p == ".lathe"; })) continue;
    struct stat st{};
    if (lstat((folder / path).c_str(), &st) != 0) continue;  // tracked, but deleted in the working copy
    if (!S_ISREG(st.st_mode)) continue;                      // links and submodules have no bytes of their own
    TRY_SET(BundleFile file, read_entry(folder, path));
    out.files.push_back(std::move(file));
  }
  TRY(check_bundle(out.files));
  return out;
}

base::Result<void> check_bundle(const std::vector<BundleFile>& files) {
  if (files.empty()) return base::invalid("a bundle needs at least one file");
  if (files.size() > kMaxBundleFiles)
    return base::fail(base::Code::kTooLarge, "a bundle may have " + std::to_string(kMaxBundleFiles) + " files, found " +
                                                 std::to_string(files.size()) +
                                                 "; list what does not belong to it in .gitignore");
  int64_t bytes = 0;
  std::set<std::string_view> seen;
  for (const auto& file : files) {
    if (!base::is_safe_relative_path(file.path))
      return base::invalid("the path '" + file.path + "' must be relative, without '..', empty parts or backslashes");
    if (!seen.insert(file.path).second) return base::invalid("the path '" + file.path + "' is listed twice");
    if (file.digest.algo != base::HashAlgo::kSha256)
      return base::invalid("the file '" + file.path + "' needs a SHA-256");
    if (file.size < 0 || file.size > kMaxBundleFileBytes)
      return base::fail(base::Code::kTooLarge, "the file '" + file.path + "' may have " +
                                                   std::to_string(kMaxBundleFileBytes) + " bytes, found " +
                                                   std::to_string(file.size));
    bytes += file.size;
  }
  if (bytes > kMaxBundleBytes)
    return base::fail(base::Code::kTooLarge, "a bundle may have " + std::to_string(kMaxBundleBytes) + " bytes, found " +
                                                 std::to_string(bytes) + "; list large files in .gitignore");
  return {};
}

std::string bundle_id(std::vector<BundleFile> files) {
  std::sort(files.begin(), files.end(), [](const BundleFile& a, const BundleFile& b) { return a.path < b.path; });
  base::Hasher hasher(base::HashAlgo::kSha256);
  for (const auto& file : files) {
    hasher.update(file.path);
    hasher.update(std::string_view("\0", 1));
    hasher.update(file.digest.hex());
    hasher.update(file.executable ? " x\n" : "\n");
  }
  return hasher.finish().hex();
}

base::Result<Bundle> create_bundle(store::Tx& tx, const std::vector<BundleFile>& files, std::string_view commit,
                                   bool dirty) {
  TRY(check_bundle(files));
  const std::string id = bundle_id(files);
  Bundle bundle{.id = id,
                .commit = std::string(commit),
                .dirty = dirty,
                .files = static_cast<int64_t>(files.size()),
                .created_us = tx.now_us()};
  for (const auto& file : files) bundle.bytes += file.size;
  // The same tree again, now under another commit or clean: the newest answer is the useful one.
  const int64_t made = tx.exec(
      "INSERT INTO loop_bundles (project, id, commit_id, dirty, files, bytes, created_us) VALUES (?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT DO NOTHING",
      tx.project(), id, commit, dirty, bundle.files, bundle.bytes, bundle.created_us);
  if (made == 0) {
    tx.exec("UPDATE loop_bundles SET commit_id = ?, dirty = ? WHERE project = ? AND id = ?", commit, dirty,
            tx.project(), id);
    return get_bundle(tx, id);
  }
  for (const auto& file : files) {
    blob::Artifact artifact{.root = root_of(id), .path = file.path, .size = file.size, .digest = file.digest};
    if (file.executable) artifact.address = "x";
    TRY(blob::put_artifact(tx, artifact));
  }
  core::emit(tx, "bundle.created", "bundle", id);
  return bundle;
}

base::Result<Bundle> get_bundle(store::Tx& tx, std::string_view id) {
  auto rows =
      tx.query("SELECT id, commit_id, dirty, files, bytes, created_us FROM loop_bundles WHERE project = ? AND id = ?",
               tx.project(), id);
  if (!rows.next()) return base::not_found("there is no bundle '" + std::string(id) + "'");
  return Bundle{.id = rows.str(0),
                .commit = rows.str(1),
                .dirty = rows.boolean(2),
                .files = rows.i64(3),
                .bytes = rows.i64(4),
                .created_us = rows.i64(5)};
}

std::vector<BundleFile> bundle_files(store::Tx& tx, std::string_view id) {
  std::vector<BundleFile> out;
  for (auto& artifact : blob::list_artifacts(tx, root_of(id))) {
    out.push_back({.path = artifact.path,
                   .digest = artifact.digest,
                   .size = artifact.size,
                   .executable = artifact.address == "x"});
  }
  return out;
}

base::Result<std::map<std::string, std::string>> read_config_texts(blob::BlobStore& blobs,
                                                                   const std::vector<BundleFile>& files) {
  std::map<std::string, std::string> out;
  size_t total = 0;
  for (const auto& file : files) {
    const std::string_view path = file.path;
    if (!path.ends_with(".yaml") && !path.ends_with(".yml") && !path.ends_with(".json")) continue;
    if (static_cast<size_t>(file.size) > kMaxConfigText) continue;  // data, not configuration
    total += static_cast<size_t>(file.size);
    if (total > kMaxConfigTexts)
      return base::fail(base::Code::kTooLarge, "the project's YAML and JSON files have more than " +
                                                   std::to_string(kMaxConfigTexts) +
                                                   " bytes together; list data files in .gitignore");
    TRY_SET(out[file.path], blobs.get(file.digest, kMaxConfigText));
  }
  return out;
}

}  // namespace loop
