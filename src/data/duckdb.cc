#include "data/duckdb.h"

#include <dlfcn.h>
#include <duckdb.h>
#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "base/install.h"

namespace data {
namespace {

constexpr const char* kFileName = "libduckdb.so";
constexpr int kFoldersUpward = 6;  // from the binary to the folder that holds deps/

}  // namespace

// The functions that are used, typed by DuckDB's own header.
#define DUCK_FUNCTIONS(X)                                                                                    \
  X(open_ext)                                                                                                \
  X(connect)                                                                                                 \
  X(disconnect)                                                                                              \
  X(close)                                                                                                   \
  X(create_config)                                                                                           \
  X(set_config)                                                                                              \
  X(destroy_config) X(free) X(library_version) X(query) X(prepare) X(prepare_error) X(destroy_prepare)       \
      X(pending_prepared_streaming) X(pending_error) X(execute_pending) X(destroy_pending) X(destroy_result) \
          X(result_error) X(column_count) X(fetch_chunk) X(destroy_data_chunk) X(data_chunk_get_size)        \
              X(data_chunk_get_vector) X(vector_get_data) X(vector_get_validity) X(appender_create)          \
                  X(appender_end_row) X(appender_close) X(appender_destroy) X(appender_error) X(append_null) \
                      X(append_double) X(append_int64) X(append_uint64) X(append_varchar_length)

struct DuckDb::Library {
  void* handle = nullptr;
#define DUCK_MEMBER(name) decltype(&::duckdb_##name) name = nullptr;
  DUCK_FUNCTIONS(DUCK_MEMBER)
#undef DUCK_MEMBER

  ~Library() {
    if (handle != nullptr) dlclose(handle);
  }

  base::Result<void> load(const std::string& path) {
    handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return base::fail(base::Code::kUnavailable, fmt::format("{}: {}", path, dlerror()));
    std::string missing;
    auto find = [&](const char* name, auto& pointer) {
      pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(dlsym(handle, name));
      if (pointer == nullptr && missing.empty()) missing = name;
    };
#define DUCK_LOAD(name) find("duckdb_" #name, name);
    DUCK_FUNCTIONS(DUCK_LOAD)
#undef DUCK_LOAD
    if (!missing.empty()) {
      return base::fail(
          base::Code::kUnavailable,
          fmt::format("{} has no function {}: a DuckDB of version 1.2 or newer is needed", path, missing));
    }
    return {};
  }
};

base::Result<std::string> duckdb_library() {
  std::error_code ignored;
  if (const char* setting = std::getenv("LATHE_DUCKDB"); setting != nullptr && *setting != '\0') {
    base::Path path = setting;
    if (std::filesystem::is_directory(path, ignored)) path /= kFileName;
    if (std::filesystem::exists(path, ignored)) return path.string();
    return base::fail(
        base::Code::kUnavailable,
        fmt::format("LATHE_DUCKDB names {}, which does not exist; it takes the path of {}", setting, kFileName));
  }
  TRY_SET(const base::Path self, base::executable_path());
  base::Path folder = self.parent_path();
  for (const base::Path& own : base::library_folders()) {
    if (std::filesystem::exists(own / kFileName, ignored)) return (own / kFileName).string();
  }
  for (int i = 0; i < kFoldersUpward && folder.has_relative_path(); ++i, folder = folder.parent_path()) {
    const base::Path candidate = folder / "deps" / "duckdb" / "lib" / kFileName;
    if (std::filesystem::exists(candidate, ignored)) return candidate.string();
  }
  if (void* handle = dlopen(kFileName, RTLD_LAZY | RTLD_LOCAL); handle != nullptr) {
    dlclose(handle);
    return std::string(kFileName);
  }
  return base::fail(base::Code::kUnavailable, fmt::format("{} was not found beside {}, in its ../lib/lathe, in a "
                                                          "deps/duckdb/lib above it, or on the loader's path; run "
                                                          "./dev setup, or set LATHE_DUCKDB to its path",
                                                          kFileName, self.string()));
}

// --- connection -----------------------------------------------------------------------------------------------------

DuckDb::DuckDb() : library_(std::make_unique<Library>()) {}

DuckDb::~DuckDb() {
  if (connection_ != nullptr) library_->disconnect(reinterpret_cast<duckdb_connection*>(&connection_));
  if (database_ != nullptr) library_->close(reinterpret_cast<duckdb_database*>(&database_));
}

std::unexpected<base::Error> DuckDb::error(std::string_view what, const char* message) const {
  const std::string_view text = message != nullptr ? message : "no reason given";
  // Running out of its memory or disk is the machine's state, not a mistake of ours or the caller's.
  const bool full = text.find("Out of Memory") != text.npos || text.find("No space left") != text.npos;
  return base::fail(full ? base::Code::kUnavailable : base::Code::kInvalid, fmt::format("DuckDB: {}: {}", what, text));
}

base::Result<std::unique_ptr<DuckDb>> DuckDb::open(const Options& options) {
  TRY_SET(const std::string path, duckdb_library());
  std::unique_ptr<DuckDb> db(new DuckDb());
  TRY(db->library_->load(path));
  const Library& duck = *db->library_;
  duckdb_config config = nullptr;
  if (duck.create_config(&config) != DuckDBSuccess) return base::internal("DuckDB: no configuration");
  const std::pair<const char*, std::string> settings[] = {
      {"threads", "1"},
      {"memory_limit", options.memory_limit},
      {"temp_directory", (options.work_dir / "spill").string()},
      {"autoinstall_known_extensions", "false"},
      {"autoload_known_extensions", "false"},
      {"preserve_insertion_order", "false"},
  };
  for (const auto& [name, value] : settings) {
    if (duck.set_config(config, name, value.c_str()) != DuckDBSuccess) {
      duck.destroy_config(&config);
      return base::invalid(fmt::format("DuckDB refuses the setting {}={}", name, value));
    }
  }
  char* message = nullptr;
  auto* database = reinterpret_cast<duckdb_database*>(&db->database_);
  const std::string file = (options.work_dir / "work.duckdb").string();
  const duckdb_state opened = duck.open_ext(file.c_str(), database, config, &message);
  duck.destroy_config(&config);
  if (opened != DuckDBSuccess) {
    auto failed = db->error("opening " + file, message);
    duck.free(message);
    return failed;
  }
  if (duck.connect(*database, reinterpret_cast<duckdb_connection*>(&db->connection_)) != DuckDBSuccess) {
    return base::internal("DuckDB: no connection");
  }
  return db;
}

std::string DuckDb::version() const { return library_->library_version(); }

base::Result<void> DuckDb::run(const std::string& sql) {
  duckdb_result result;
  const duckdb_state state = library_->query(static_cast<duckdb_connection>(connection_), sql.c_str(), &result);
  base::Result<void> outcome;
  if (state != DuckDBSuccess) outcome = error("a statement failed", library_->result_error(&result));
  library_->destroy_result(&result);
  return outcome;
}

base::Result<int64_t> DuckDb::count(const std::string& sql) {
  int64_t value = 0;
  TRY(query(sql, [&](const Chunk& chunk) -> base::Result<void> {
    if (chunk.rows() > 0 && !chunk.null(0, 0)) value = chunk.i64(0, 0);
    return {};
  }));
  return value;
}

// --- answers --------------------------------------------------------------------------------------------------------

bool DuckDb::Chunk::null(size_t column, size_t row) const {
  const uint64_t* validity = vectors_[column].validity;
  return validity != nullptr && (validity[row / 64] >> (row % 64) & 1) == 0;
}
double DuckDb::Chunk::f64(size_t column, size_t row) const {
  return static_cast<const double*>(vectors_[column].data)[row];
}
int64_t DuckDb::Chunk::i64(size_t column, size_t row) const {
  return static_cast<const int64_t*>(vectors_[column].data)[row];
}
uint64_t DuckDb::Chunk::u64(size_t column, size_t row) const {
  return static_cast<const uint64_t*>(vectors_[column].data)[row];
}
std::string_view DuckDb::Chunk::text(size_t column, size_t row) const {
  const auto& value = static_cast<const duckdb_string_t*>(vectors_[column].data)[row];
  const uint32_t length = value.value.inlined.length;  // at most 12 bytes lie in the struct itself
  return {length <= 12 ? value.value.inlined.inlined : value.value.pointer.ptr, length};
}

base::Result<void> DuckDb::query(const std::string& sql, const std::function<base::Result<void>(const Chunk&)>& visit) {
  const Library& duck = *library_;
  duckdb_prepared_statement statement = nullptr;
  duckdb_pending_result pending = nullptr;
  duckdb_result result{};
  auto work = [&]() -> base::Result<void> {
    if (duck.prepare(static_cast<duckdb_connection>(connection_), sql.c_str(), &statement) != DuckDBSuccess) {
      return error("a query failed", duck.prepare_error(statement));
    }
    if (duck.pending_prepared_streaming(statement, &pending) != DuckDBSuccess) {
      return error("a query failed", duck.pending_error(pending));
    }
    if (duck.execute_pending(pending, &result) != DuckDBSuccess) {
      return error("a query failed", duck.result_error(&result));
    }
    Chunk chunk;
    chunk.vectors_.resize(duck.column_count(&result));
    while (duckdb_data_chunk piece = duck.fetch_chunk(result)) {
      chunk.rows_ = duck.data_chunk_get_size(piece);
      for (size_t c = 0; c < chunk.vectors_.size(); ++c) {
        const duckdb_vector vector = duck.data_chunk_get_vector(piece, c);
        chunk.vectors_[c] = {duck.vector_get_data(vector), duck.vector_get_validity(vector)};
      }
      auto seen = visit(chunk);
      duck.destroy_data_chunk(&piece);
      TRY(seen);
    }
    const char* late = duck.result_error(&result);  // a streamed answer may fail on its way
    if (late != nullptr && *late != '\0') return error("a query failed", late);
    return {};
  };
  auto outcome = work();
  duck.destroy_result(&result);
  duck.destroy_pending(&pending);
  duck.destroy_prepare(&statement);
  return outcome;
}

base::Result<std::vector<DuckDb::ColumnType>> DuckDb::describe(const std::string& select) {
  std::vector<ColumnType> columns;
  TRY(query("SELECT column_name, column_type FROM (DESCRIBE " + select + ")",
            [&](const Chunk& chunk) -> base::Result<void> {
              for (size_t r = 0; r < chunk.rows(); ++r) {
                columns.push_back({std::string(chunk.text(0, r)), std::string(chunk.text(1, r))});
              }
              return {};
            }));
  return columns;
}

// --- bulk rows ------------------------------------------------------------------------------------------------------

base::Result<DuckDb::Appender> DuckDb::append(const std::string& table) {
  duckdb_appender handle = nullptr;
  if (library_->appender_create(static_cast<duckdb_connection>(connection_), nullptr, table.c_str(), &handle) !=
      DuckDBSuccess) {
    auto failed = error("appending to " + table, library_->appender_error(handle));
    library_->appender_destroy(&handle);
    return failed;
  }
  return Appender(*this, handle);
}

DuckDb::Appender::Appender(Appender&& other) noexcept
    : db_(other.db_), handle_(std::exchange(other.handle_, nullptr)) {}
DuckDb::Appender::~Appender() {
  if (handle_ != nullptr) db_->library_->appender_destroy(reinterpret_cast<duckdb_appender*>(&handle_));
}
void DuckDb::Appender::null() { db_->library_->append_null(static_cast<duckdb_appender>(handle_)); }
void DuckDb::Appender::f64(double value) { db_->library_->append_double(static_cast<duckdb_appender>(handle_), value); }
void DuckDb::Appender::i64(int64_t value) { db_->library_->append_int64(static_cast<duckdb_appender>(handle_), value); }
void DuckDb::Appender::u64(uint64_t value) {
  db_->library_->append_uint64(static_cast<duckdb_appender>(handle_), value);
}
void DuckDb::Appender::text(std::string_view value) {
  db_->library_->append_varchar_length(static_cast<duckdb_appender>(handle_), value.data(), value.size());
}
base::Result<void> DuckDb::Appender::end_row() {
  // A value that did not fit leaves the row short, so end_row fails and tells why.
  if (db_->library_->appender_end_row(static_cast<duckdb_appender>(handle_)) == DuckDBSuccess) return {};
  return db_->error("a row was refused", db_->library_->appender_error(static_cast<duckdb_appender>(handle_)));
}
base::Result<void> DuckDb::Appender::finish() {
  if (db_->library_->appender_close(static_cast<duckdb_appender>(handle_)) == DuckDBSuccess) return {};
  return db_->error("rows were refused", db_->library_->appender_error(static_cast<duckdb_appender>(handle_)));
}

namespace {
std::string in_quotes(std::string_view text, char quote) {
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote) out += quote;
    out += c;
  }
  return out + quote;
}
}  // namespace

std::string sql_name(std::string_view name) { return in_quotes(name, '"'); }
std::string sql_text(std::string_view text) { return in_quotes(text, '\''); }

}  // namespace data
