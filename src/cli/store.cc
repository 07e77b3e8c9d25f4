// lathe backup, restore, fsck, gc: looking after the store as a whole.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "base/clock.h"
#include "base/ids.h"
#include "base/json.h"
#include "blob/backup.h"
#include "blob/fsck.h"
#include "blob/gc.h"
#include "cli/api.h"
#include "cli/command.h"
#include "server/config.h"

namespace cli {
namespace {

template <class T>
T checked(base::Result<T> result) {
  if (!result) throw Failure(kRefused, result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::string human_bytes(int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit < 4; ++unit) value /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

void print_backup(const char* verb, const std::string& where, const blob::BackupInfo& info) {
  std::printf("%s %s: database %s, %lld blobs of %s%s\n", verb, where.c_str(), human_bytes(info.database_bytes).c_str(),
              static_cast<long long>(info.blobs), human_bytes(info.blob_bytes).c_str(), info.with_blobs ? "" : " (left out)");
}

// Through a file beside it, so that FILE is there only when it is whole and on disk.
void backup(const Common& common, const base::Path& file, bool with_blobs) {
  if (std::filesystem::exists(file)) throw Failure(kUsage, file.string() + " exists; a backup does not overwrite");
  const base::Path part = file.string() + ".part-" + base::random_hex(base::system_random(), 4);
  base::Fd out = checked(base::open_file(part, O_WRONLY | O_CREAT | O_EXCL, 0600));
  try {
    Api api(common);
    base::Result<void> written;
    api.stream(with_blobs ? "/backup" : "/backup?blobs=false", [&](std::string_view bytes) {
      written = base::write_all(out.get(), bytes);
      return written.has_value();
    });
    checked(std::move(written));
    const blob::BackupInfo info = checked(blob::verify_backup(part));
    if (::fsync(out.get()) != 0 || ::rename(part.c_str(), file.c_str()) != 0) checked<void>(base::errno_error(file.string(), errno));
    checked(base::fsync_dir(file.has_parent_path() ? file.parent_path() : base::Path(".")));
    print_backup("wrote", file.string(), info);
    for (const std::string& digest : info.missing) std::printf("  missing in the store: blob %s (see 'lathe fsck')\n", digest.c_str());
  } catch (...) {
    ::unlink(part.c_str());
    throw;
  }
}

void restore(const base::Path& file, const base::Path& dir) {
  print_backup("restored", dir.string(), checked(blob::restore_backup(file, dir)));
}

server::Config config_of(const std::string& dir, const std::string& store) {
  server::Variables flags;
  if (!dir.empty()) flags["dir"] = dir;
  if (!store.empty()) flags["store"] = store;
  auto config = server::load_config(flags, server::environment());
  if (!config) throw Failure(kUsage, config.error().message);
  return std::move(*config);
}

int fsck(const server::Config& config, bool with_blobs) {
  constexpr std::string_view kSqlite = "sqlite:";
  if (config.store_url.starts_with(kSqlite) && !std::filesystem::exists(config.store_url.substr(kSqlite.size()))) {
    throw Failure(kRefused, "there is no store at " + config.store_url.substr(kSqlite.size()));
  }
  const auto store = checked(store::Store::open({.url = config.store_url, .read_only = true}, {}));
  const auto blobs = checked(blob::BlobStore::open(config.dir));
  const auto ctx = base::Context::system(base::system_clock());
  const blob::FsckReport report = checked(blob::check_store(*store, *blobs, ctx, with_blobs));
  for (const std::string& fault : report.faults) std::printf("FAULT %s\n", fault.c_str());
  std::printf("%lld blobs of %s read", static_cast<long long>(report.blobs), human_bytes(report.bytes).c_str());
  if (report.orphans > 0) {
    std::printf(", %lld that nothing refers to (%s; garbage collection removes them)", static_cast<long long>(report.orphans),
                human_bytes(report.orphan_bytes).c_str());
  }
  std::printf("; %s\n", report.sound() ? "sound" : (std::to_string(report.faults.size()) + " faults").c_str());
  return report.sound() ? 0 : kRefused;
}

void gc(const Common& common, double grace_hours) {
  Api api(common);
  const auto answer = api.post("/gc", {{"grace_us", static_cast<int64_t>(grace_hours * 3.6e9)}});
  const auto number = [&](const char* key) { return answer.at(key).to_number<int64_t>(); };
  std::printf("%lld blobs newly unused; %lld forgotten; %lld files removed (%s)\n", static_cast<long long>(number("marked")),
              static_cast<long long>(number("forgotten")), static_cast<long long>(number("removed")),
              human_bytes(number("bytes")).c_str());
}

}  // namespace

void add_store_commands(CLI::App& app, Common& common) {
  struct Given {
    std::string file, dir, store;
    bool no_blobs = false;
    double grace_hours = static_cast<double>(blob::kGraceUs) / 3.6e9;
  };
  const auto given = std::make_shared<Given>();

  auto* backup_command = app.add_subcommand("backup", "Write database and blobs of the running server to one file");
  backup_command->add_option("file", given->file, "the file to write; must not exist")->required();
  backup_command->add_flag("--no-blobs", given->no_blobs, "the database only");
  backup_command->callback([given, &common] { backup(common, given->file, !given->no_blobs); });

  auto* restore_command = app.add_subcommand("restore", "Make a server's folder from a backup");
  restore_command->add_option("file", given->file, "the backup")->required();
  restore_command->add_option("--dir", given->dir, "the folder; must be absent or empty [.lathe]; LATHE_DIR");
  restore_command->callback([given] { restore(given->file, config_of(given->dir, "").dir); });

  auto* fsck_command = app.add_subcommand("fsck", "Check the database, and every blob by reading it; a server may be running");
  fsck_command->add_option("--dir", given->dir, "the server's folder [.lathe]; LATHE_DIR");
  fsck_command->add_option("--store", given->store, "the store [sqlite]; LATHE_STORE");
  fsck_command->add_flag("--no-blobs", given->no_blobs, "the database only");
  fsck_command->callback([given, &common] { common.exit_code = fsck(config_of(given->dir, given->store), !given->no_blobs); });

  auto* gc_command = app.add_subcommand("gc", "Have the server remove blobs that nothing refers to");
  gc_command->add_option("--grace-hours", given->grace_hours, "how long a blob must have been unused [24]")->check(CLI::NonNegativeNumber);
  gc_command->callback([given, &common] { gc(common, given->grace_hours); });
}

}  // namespace cli
