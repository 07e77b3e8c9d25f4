// lathe backup, restore, fsck, gc, blobs copy: looking after the store as a whole.
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
#include "blob/home.h"
#include "cli/api.h"
#include "cli/command.h"
#include "server/blob_place.h"
#include "server/config.h"
#include "server/run.h"

namespace cli {
namespace {

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
              static_cast<long long>(info.blobs), human_bytes(info.blob_bytes).c_str(),
              info.with_blobs ? "" : " (left out)");
}

// Through a file beside it, so that FILE is there only when it is whole and on disk.
void backup(const Common& common, const base::Path& file, bool with_blobs) {
  if (std::filesystem::exists(file)) throw Failure(kUsage, file.string() + " exists; a backup does not overwrite");
  const base::Path part = file.string() + ".part-" + base::random_hex(base::system_random(), 4);
  base::Fd out = need(base::open_file(part, O_WRONLY | O_CREAT | O_EXCL, 0600));
  try {
    Api api(common);
    base::Result<void> written;
    api.stream(with_blobs ? "/backup" : "/backup?blobs=false", [&](std::string_view bytes) {
      written = base::write_all(out.get(), bytes);
      return written.has_value();
    });
    need(std::move(written));
    const blob::BackupInfo info = need(blob::verify_backup(part));
    if (::fsync(out.get()) != 0 || ::rename(part.c_str(), file.c_str()) != 0)
      need<void>(base::errno_error(file.string(), errno));
    need(base::fsync_dir(file.has_parent_path() ? file.parent_path() : base::Path(".")));
    print_backup("wrote", file.string(), info);
    for (const std::string& digest : info.missing)
      std::printf("  missing in the store: blob %s (see 'lathe fsck')\n", digest.c_str());
  } catch (...) {
    ::unlink(part.c_str());
    throw;
  }
}

void restore(const base::Path& file, const base::Path& dir) {
  print_backup("restored", dir.string(), need(blob::restore_backup(file, dir)));
}

server::Config config_of(const std::string& dir, const std::string& store, const std::string& blobs = "") {
  server::Variables flags;
  if (!dir.empty()) flags["dir"] = dir;
  if (!store.empty()) flags["store"] = store;
  if (!blobs.empty()) flags["blobs"] = blobs;
  auto config = server::load_config(flags, server::environment());
  if (!config) throw Failure(kUsage, config.error().message);
  return std::move(*config);
}

void want_store(const server::Config& config) {
  constexpr std::string_view kSqlite = "sqlite:";
  if (config.store_url.starts_with(kSqlite) && !std::filesystem::exists(config.store_url.substr(kSqlite.size()))) {
    throw Failure(kRefused, "there is no store at " + config.store_url.substr(kSqlite.size()));
  }
}

// Copies all blobs; then, unless a server runs on the store, has the store look for them there.
int copy_blobs(const server::Config& config, const std::string& to_place, bool take_over, bool allow_missing) {
  want_store(config);
  const auto place = server::read_blob_place(to_place);
  if (!place) throw Failure(kUsage, "--to: " + place.error().message);
  const auto ctx = base::Context::system(base::system_clock(), "system:cli");
  auto opened = store::Store::open({.url = config.store_url, .holder = "lathe blobs copy"}, server::store_modules());
  const bool running = !opened && opened.error().code == base::Code::kConflict;
  const std::string held_by = opened ? "" : opened.error().message;
  if (running) opened = store::Store::open({.url = config.store_url, .read_only = true}, {});
  const auto store = need(std::move(opened));
  const auto home = need(blob::read_home(*store, ctx, config.dir));
  const std::string from_place = home ? home->home : "folder";
  if (from_place == *place) throw Failure(kUsage, "the blobs are at home in " + from_place + " already");
  const auto from = need(server::open_blobs_at(config, from_place, true));
  const auto to = need(server::open_blobs_at(config, *place, true));
  const blob::CopyReport report = need(blob::copy_blobs(*store, *from, *to, ctx));
  std::printf("%lld blobs (%s) copied from %s to %s, %lld were there\n", static_cast<long long>(report.copied),
              human_bytes(report.bytes).c_str(), from_place.c_str(), place->c_str(),
              static_cast<long long>(report.present));
  for (const std::string& digest : report.missing) std::printf("MISSING blob %s\n", digest.c_str());
  if (running) {
    std::printf("the store stays with %s, for it is in use (%s); stop the server and copy again: the rest is quick\n",
                from_place.c_str(), held_by.c_str());
    return kRefused;
  }
  if (!report.missing.empty() && !allow_missing) {
    std::printf("the store stays with %s: %zu blobs lie in neither place; --allow-missing moves it all the same\n",
                from_place.c_str(), report.missing.size());
    return kRefused;
  }
  need(blob::move_home(*store, *to, ctx, config.dir, take_over));
  std::printf("from now on the store's blobs are at home in %s; start the server with --blobs %s\n", place->c_str(),
              place->c_str());
  return 0;
}

int fsck(const server::Config& config, bool with_blobs) {
  want_store(config);
  const auto store = need(store::Store::open({.url = config.store_url, .read_only = true}, {}));
  const auto ctx = base::Context::system(base::system_clock());
  const auto blobs = need(server::open_blobs(config, true));
  if (with_blobs) need(blob::check_home(*store, *blobs, ctx, config.dir));
  const blob::FsckReport report = need(blob::check_store(*store, *blobs, ctx, with_blobs));
  for (const std::string& fault : report.faults) std::printf("FAULT %s\n", fault.c_str());
  std::printf("%lld blobs of %s read", static_cast<long long>(report.blobs), human_bytes(report.bytes).c_str());
  if (report.orphans > 0) {
    std::printf(", %lld that nothing refers to (%s; garbage collection removes them)",
                static_cast<long long>(report.orphans), human_bytes(report.orphan_bytes).c_str());
  }
  std::printf("; %s\n", report.sound() ? "sound" : (std::to_string(report.faults.size()) + " faults").c_str());
  return report.sound() ? 0 : kRefused;
}

// "30d", "10d2h", "1h30m", as `mlflow gc --older-than` takes it.
int64_t seconds_of(std::string_view text) {
  int64_t total = 0, number = 0;
  bool digits = false, any = false;
  for (const char c : text) {
    if (c >= '0' && c <= '9' && number < 1'000'000) {
      number = number * 10 + (c - '0');
      digits = true;
      continue;
    }
    const int64_t unit = c == 'd' ? 86'400 : c == 'h' ? 3600 : c == 'm' ? 60 : c == 's' ? 1 : 0;
    if (unit == 0 || !digits) break;
    total += number * unit;
    number = 0, digits = false, any = true;
  }
  if (!any || digits) {
    throw Failure(kUsage, "--older-than is '" + std::string(text) + "'; it is like 30d, 10d2h or 90m (d, h, m, s)");
  }
  return total;
}

struct GcOptions {
  double grace_hours = static_cast<double>(blob::kGraceUs) / 3.6e9;
  std::string older_than;
  std::vector<std::string> run_ids, experiment_ids;
};

void purge_runs(Api& api, const GcOptions& options) {
  boost::json::object body;
  if (!options.older_than.empty()) body["older_than_s"] = seconds_of(options.older_than);
  if (!options.run_ids.empty()) body["runs"] = boost::json::array(options.run_ids.begin(), options.run_ids.end());
  if (!options.experiment_ids.empty()) {
    body["experiments"] = boost::json::array(options.experiment_ids.begin(), options.experiment_ids.end());
  }
  if (body.empty()) return;
  const auto answer = api.post("/runs/purge", body);
  const auto number = [&](const char* key) { return static_cast<long long>(answer.at(key).to_number<int64_t>()); };
  std::printf("removed for good: %lld runs, %lld logged models, %lld experiments, %lld files\n", number("runs"),
              number("models"), number("experiments"), number("files"));
}

void gc(const Common& common, const GcOptions& options) {
  Api api(common);
  purge_runs(api, options);
  const double grace_hours = options.grace_hours;
  const auto answer = api.post("/gc", {{"grace_us", static_cast<int64_t>(grace_hours * 3.6e9)}});
  const auto number = [&](const char* key) { return answer.at(key).to_number<int64_t>(); };
  std::printf("%lld blobs newly unused; %lld forgotten; %lld files removed (%s)\n",
              static_cast<long long>(number("marked")), static_cast<long long>(number("forgotten")),
              static_cast<long long>(number("removed")), human_bytes(number("bytes")).c_str());
}

}  // namespace

void add_store_commands(CLI::App& app, Common& common) {
  struct Given {
    std::string file, dir, store, blobs, to;
    bool no_blobs = false, take_over = false, allow_missing = false;
    GcOptions gc;
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

  auto* fsck_command =
      app.add_subcommand("fsck", "Check the database, and every blob by reading it; a server may be running");
  fsck_command->add_option("--dir", given->dir, "the server's folder [.lathe]; LATHE_DIR");
  fsck_command->add_option("--store", given->store, "the store [sqlite]; LATHE_STORE");
  fsck_command->add_option("--blobs", given->blobs, "where the blobs are [folder]; LATHE_BLOBS");
  fsck_command->add_flag("--no-blobs", given->no_blobs, "the database only");
  fsck_command->callback([given, &common] {
    common.exit_code = fsck(config_of(given->dir, given->store, given->blobs), !given->no_blobs);
  });

  auto* blobs_command = app.add_subcommand("blobs", "Where the files are kept");
  blobs_command->require_subcommand(1);
  auto* copy_command = blobs_command->add_subcommand(
      "copy", "Copy every file to another place, and keep them there from now on if no server is running");
  copy_command->add_option("--to", given->to, "folder, or s3://BUCKET/PREFIX")->required();
  copy_command->add_option("--dir", given->dir, "the server's folder [.lathe]; LATHE_DIR");
  copy_command->add_option("--store", given->store, "the store [sqlite]; LATHE_STORE");
  copy_command->add_flag("--take-over", given->take_over, "the place belonged to a store that is no more");
  copy_command->add_flag("--allow-missing", given->allow_missing, "although files are lost that rows name");
  copy_command->callback([given, &common] {
    common.exit_code =
        copy_blobs(config_of(given->dir, given->store), given->to, given->take_over, given->allow_missing);
  });

  auto* gc_command = app.add_subcommand(
      "gc", "Have the server remove blobs that nothing refers to and, if asked, deleted runs for good");
  gc_command->add_option("--grace-hours", given->gc.grace_hours, "how long a blob must have been unused [24]")
      ->check(CLI::NonNegativeNumber);
  gc_command->add_option("--older-than", given->gc.older_than,
                         "remove what was deleted so long ago: runs, logged models, experiments; like 30d or 10d2h");
  gc_command->add_option("--run-ids", given->gc.run_ids, "only these deleted runs")->delimiter(',');
  gc_command->add_option("--experiment-ids", given->gc.experiment_ids, "only these deleted experiments")
      ->delimiter(',');
  gc_command->callback([given, &common] { gc(common, given->gc); });
}

}  // namespace cli
