#include "track/run_columns.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <unordered_set>

namespace track {

using base::Result;

namespace {

constexpr size_t kVersions = 4;   // that readers of older transactions may still take
constexpr size_t kMostGone = 64;  // purged runs that are looked for; more: read anew
// Events since a snapshot that are followed one by one: a part of its runs, within bounds. More: the runs are read
// anew.
constexpr size_t kChangesShare = 20;
constexpr size_t kLeastChanges = 2'000, kMostChanges = 20'000;
constexpr int64_t kForgetUs = 3'600'000'000;  // not asked for so long
constexpr int64_t kRefusalUs = 600'000'000;   // until one that was too large is tried again
constexpr size_t kBytesPerRun = sizeof(int64_t) * 2 + sizeof(RunIdBits) + 1;

struct Cell {
  uint8_t flag = kNone;
  double number = 0;
  int64_t integer = 0;
  std::string_view text;
};

constexpr std::string_view attribute_of(ColumnKind kind) {
  switch (kind) {
    case ColumnKind::kEndTime: return "d.end_ms";
    case ColumnKind::kName: return "d.name, d.name_tag";
    case ColumnKind::kStatus:
      return "CASE d.status WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'SCHEDULED' WHEN 3 THEN 'FINISHED' WHEN 4 THEN 'FAILED' "
             "ELSE 'KILLED' END";
    case ColumnKind::kUser: return "d.user_id";
    case ColumnKind::kUri: return "d.artifact_uri";
    case ColumnKind::kMetric: return "d.value, d.is_nan";
    case ColumnKind::kLeast: return "d.min_value";
    case ColumnKind::kGreatest: return "d.max_value";
    case ColumnKind::kParam:
    case ColumnKind::kTag: return "d.value";
  }
  return "";
}

constexpr std::string_view table_of(ColumnKind kind) {
  switch (kind) {
    case ColumnKind::kMetric:
    case ColumnKind::kLeast:
    case ColumnKind::kGreatest: return "track_latest_metrics";
    case ColumnKind::kParam: return "track_params";
    case ColumnKind::kTag: return "track_tags";
    default: return "track_runs";
  }
}

constexpr std::string_view index_of(ColumnKind kind) {
  switch (kind) {
    case ColumnKind::kMetric:
    case ColumnKind::kLeast:
    case ColumnKind::kGreatest: return "track_latest_by_value";
    case ColumnKind::kParam: return "track_params_by_value";
    case ColumnKind::kTag: return "track_tags_by_value";
    default: return "track_runs_by_start";
  }
}

// A value as `attribute_of` selects it, from column `at` on.
Cell read_cell(store::Rows& rows, int at, ColumnKind kind) {
  Cell cell;
  if (rows.is_null(at)) return cell;
  cell.flag = kHere;
  switch (kind) {
    case ColumnKind::kMetric:
      cell.number = rows.f64(at);
      if (rows.boolean(at + 1)) cell.flag = kNotANumber;
      break;
    case ColumnKind::kLeast:
    case ColumnKind::kGreatest: cell.number = rows.f64(at); break;
    case ColumnKind::kEndTime: cell.integer = rows.i64(at); break;
    case ColumnKind::kName:
      if (!rows.boolean(at + 1)) cell.flag = kNone;
      [[fallthrough]];
    default: cell.text = rows.text(at);
  }
  return cell;
}

void append(ColumnChunk& chunk, const ColumnKey& key, const Cell& cell) {
  chunk.flags.push_back(cell.flag);
  if (key.is_number()) {
    chunk.numbers.push_back(cell.number);
  } else if (key.is_integer()) {
    chunk.integers.push_back(cell.integer);
  } else {
    chunk.texts += cell.text;
    chunk.ends.push_back(static_cast<uint32_t>(chunk.texts.size()));
  }
}

void replace(ColumnChunk& chunk, const ColumnKey& key, size_t i, const Cell& cell) {
  chunk.flags[i] = cell.flag;
  if (key.is_number()) {
    chunk.numbers[i] = cell.number;
  } else if (key.is_integer()) {
    chunk.integers[i] = cell.integer;
  } else if (const std::string_view old = chunk.text(i); old != cell.text) {
    const auto grown = static_cast<uint32_t>(cell.text.size() - old.size());  // modulo 2^32
    chunk.texts.replace(static_cast<size_t>(old.data() - chunk.texts.data()), old.size(), cell.text);
    for (size_t later = i; later < chunk.ends.size(); ++later) chunk.ends[later] += grown;
  }
}

template <class T>
size_t bytes_of(const std::vector<T>& values) {
  return values.capacity() * sizeof(T);
}

size_t bytes_of(const ColumnChunks& chunks) {
  size_t bytes = 0;
  for (const auto& chunk : chunks) {
    bytes += sizeof *chunk + bytes_of(chunk->flags) + bytes_of(chunk->numbers) + bytes_of(chunk->integers) +
             bytes_of(chunk->ends) + chunk->texts.capacity();
  }
  return bytes;
}

// The next version of a snapshot. Chunks that change are copied once.
class Editor {
 public:
  Editor(store::Tx& tx, int64_t experiment, const core::EventView& view, const RunSnapshot* base)
      : tx_(tx), experiment_(experiment) {
    if (base != nullptr) next_ = *base;
    next_.view = view;
  }

  // False: it cannot be kept.
  Result<bool> load_runs();
  Result<bool> load_column(const ColumnKey& key);
  // False: it must be loaded anew.
  Result<bool> apply(const std::vector<core::EventSubject>& changes);
  void drop_columns_except(std::span<const ColumnKey> keys) {
    std::erase_if(next_.columns, [&](const auto& each) { return std::ranges::find(keys, each.first) == keys.end(); });
  }

  size_t bytes() {
    next_.bytes = 0;
    for (const auto& chunk : next_.runs) next_.bytes += chunk->rows.capacity() * kBytesPerRun;
    for (const auto& [key, chunks] : next_.columns) next_.bytes += bytes_of(chunks);
    return next_.bytes;
  }
  bool has(const ColumnKey& key) const { return next_.find(key) != nullptr; }
  RunSnapshotPtr take() {
    bytes();
    return std::make_shared<const RunSnapshot>(std::move(next_));
  }

 private:
  template <class Chunk>
  Chunk& edit(std::shared_ptr<const Chunk>& slot) {
    if (!own_.contains(slot.get())) {
      slot = slot ? std::make_shared<Chunk>(*slot) : std::make_shared<Chunk>();
      own_.insert(slot.get());
    }
    return const_cast<Chunk&>(*slot);  // ours until take(): made above, seen by nobody
  }

  std::optional<size_t> find_row(int64_t row) const;
  std::optional<size_t> find_id(const RunIdBits& id) const;
  Result<bool> apply_run(std::string_view run_id);
  Result<void> read_values(size_t at, int64_t row);
  void add_run(int64_t row, const RunIdBits& id, int64_t start_ms, uint8_t state);
  int64_t last_row() const { return next_.size == 0 ? 0 : next_.runs.back()->rows.back(); }
  std::string select(std::string_view columns, ColumnKind kind) const;

  store::Tx& tx_;
  int64_t experiment_;
  RunSnapshot next_;
  std::unordered_set<const void*> own_;
  size_t gone_ = 0;
};

// Everything of one experiment, by the index that holds it together.
std::string Editor::select(std::string_view columns, ColumnKind kind) const {
  std::string sql = "SELECT ";
  sql.append(columns).append(" FROM ").append(table_of(kind)).append(" d");
  if (tx_.backend() == store::Backend::kSqlite) sql.append(" INDEXED BY ").append(index_of(kind));
  return sql.append(" WHERE d.project = ? AND d.exp = ?");
}

void Editor::add_run(int64_t row, const RunIdBits& id, int64_t start_ms, uint8_t state) {
  if (next_.size % kChunkRuns == 0) next_.runs.emplace_back();
  RunChunk& chunk = edit(next_.runs.back());
  if (chunk.rows.empty()) {  // nothing is lost by growing in one step
    chunk.rows.reserve(kChunkRuns);
    chunk.ids.reserve(kChunkRuns);
    chunk.starts_ms.reserve(kChunkRuns);
    chunk.states.reserve(kChunkRuns);
  }
  chunk.rows.push_back(row);
  chunk.ids.push_back(id);
  chunk.starts_ms.push_back(start_ms);
  chunk.states.push_back(state);
  ++next_.size;
}

Result<bool> Editor::load_runs() {
  struct Loaded {
    int64_t row, start_ms;
    RunIdBits id;
    uint8_t state;
  };
  next_ = {.view = next_.view, .size = 0, .runs = {}, .columns = {}, .bytes = 0};
  std::vector<Loaded> loaded;
  {
    auto rows =
        tx_.query(select("d.id, d.run_id, d.deleted, d.start_ms", ColumnKind::kStatus), tx_.project(), experiment_);
    while (rows.next()) {
      const auto id = run_id_bits(rows.text(1));
      if (!id || loaded.size() * kBytesPerRun > kRunColumnBytes) return false;
      loaded.push_back({rows.i64(0), rows.i64(3), *id, rows.boolean(2) ? kDeletedRun : kActiveRun});
    }
  }
  TRY(tx_.status());
  std::ranges::sort(loaded, {}, &Loaded::row);
  for (const Loaded& run : loaded) add_run(run.row, run.id, run.start_ms, run.state);
  return true;
}

Result<bool> Editor::load_column(const ColumnKey& key) {
  const bool attribute = key.kind >= ColumnKind::kEndTime;
  const std::string columns = std::string(attribute ? "d.id, " : "d.run, ").append(attribute_of(key.kind));
  const std::string sql = select(columns, key.kind) + (attribute ? "" : " AND d.key_id = ?");
  std::vector<Cell> cells(next_.size);  // their texts: offset and length in `texts`, until all are here
  std::string texts;
  std::vector<std::pair<size_t, size_t>> places(key.is_number() || key.is_integer() ? 0 : next_.size);
  {
    auto rows =
        attribute ? tx_.query(sql, tx_.project(), experiment_) : tx_.query(sql, tx_.project(), experiment_, key.key_id);
    while (rows.next()) {
      const auto at = find_row(rows.i64(0));
      if (!at) continue;
      Cell cell = read_cell(rows, 1, key.kind);
      if (!places.empty()) {
        if (texts.size() + cell.text.size() > kRunColumnBytes) return false;
        places[*at] = {texts.size(), cell.text.size()};
        texts += cell.text;
        cell.text = {};
      }
      cells[*at] = cell;
    }
  }
  TRY(tx_.status());
  ColumnChunks& chunks = next_.columns[key];
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i % kChunkRuns == 0) chunks.emplace_back();
    if (!places.empty()) cells[i].text = std::string_view(texts).substr(places[i].first, places[i].second);
    append(edit(chunks.back()), key, cells[i]);
  }
  return true;
}

std::optional<size_t> Editor::find_row(int64_t row) const {
  const auto after = std::ranges::upper_bound(next_.runs, row, {}, [](const auto& chunk) { return chunk->rows[0]; });
  if (after == next_.runs.begin()) return std::nullopt;
  const auto& rows = (*std::prev(after))->rows;
  // Rows mostly follow each other without a gap: then the place is known.
  const auto guess = static_cast<uint64_t>(row - rows[0]);
  const size_t first = static_cast<size_t>(std::prev(after) - next_.runs.begin()) * kChunkRuns;
  if (guess < rows.size() && rows[guess] == row) return first + guess;
  const auto at = std::ranges::lower_bound(rows, row);
  if (at == rows.end() || *at != row) return std::nullopt;
  return first + static_cast<size_t>(at - rows.begin());
}

std::optional<size_t> Editor::find_id(const RunIdBits& id) const {
  for (size_t chunk = 0; chunk < next_.runs.size(); ++chunk) {
    const auto& ids = next_.runs[chunk]->ids;
    if (const auto at = std::ranges::find(ids, id); at != ids.end())
      return chunk * kChunkRuns + static_cast<size_t>(at - ids.begin());
  }
  return std::nullopt;
}

Result<void> Editor::read_values(size_t at, int64_t row) {
  for (auto& [key, chunks] : next_.columns) {
    const bool attribute = key.kind >= ColumnKind::kEndTime;
    std::string sql = "SELECT ";
    sql.append(attribute_of(key.kind))
        .append(" FROM ")
        .append(table_of(key.kind))
        .append(" d WHERE d.project = ? AND ");
    sql += attribute ? "d.id = ?" : "d.run = ? AND d.key_id = ?";
    auto rows = attribute ? tx_.query(sql, tx_.project(), row) : tx_.query(sql, tx_.project(), row, key.key_id);
    const Cell cell = rows.next() ? read_cell(rows, 0, key.kind) : Cell{};
    if (at / kChunkRuns == chunks.size()) chunks.emplace_back();
    ColumnChunk& chunk = edit(chunks[at / kChunkRuns]);
    at % kChunkRuns == chunk.flags.size() ? append(chunk, key, cell) : replace(chunk, key, at % kChunkRuns, cell);
  }
  return tx_.status();
}

Result<bool> Editor::apply_run(std::string_view run_id) {
  const auto id = run_id_bits(run_id);
  int64_t row = 0, exp = 0, start_ms = 0;
  bool deleted = false;
  {
    auto rows = tx_.query("SELECT id, exp, deleted, start_ms FROM track_runs WHERE project = ? AND run_id = ?",
                          tx_.project(), run_id);
    if (rows.next()) row = rows.i64(0), exp = rows.i64(1), deleted = rows.boolean(2), start_ms = rows.i64(3);
  }
  TRY(tx_.status());
  if (row == 0) {  // purged: perhaps one of ours
    if (!id) return true;
    if (++gone_ > kMostGone) return false;
    if (const auto at = find_id(*id)) edit(next_.runs[*at / kChunkRuns]).states[*at % kChunkRuns] = kGoneRun;
    return true;
  }
  const auto at = find_row(row);
  if (exp != experiment_) {
    if (at) edit(next_.runs[*at / kChunkRuns]).states[*at % kChunkRuns] = kGoneRun;
    return true;
  }
  if (!id) return false;
  const uint8_t state = deleted ? kDeletedRun : kActiveRun;
  if (!at) {
    if (row < last_row()) return false;  // moved here
    add_run(row, *id, start_ms, state);
    TRY(read_values(next_.size - 1, row));
    return true;
  }
  RunChunk& chunk = edit(next_.runs[*at / kChunkRuns]);
  chunk.ids[*at % kChunkRuns] = *id;
  chunk.starts_ms[*at % kChunkRuns] = start_ms;
  chunk.states[*at % kChunkRuns] = state;
  TRY(read_values(*at, row));
  return true;
}

Result<bool> Editor::apply(const std::vector<core::EventSubject>& changes) {
  std::vector<std::string_view> runs;
  for (const core::EventSubject& change : changes) {
    if (change.subject_kind == "experiment" && change.subject == std::to_string(experiment_) &&
        change.kind != "experiment.tagged" && change.kind != "experiment.untagged" &&
        change.kind != "experiment.renamed")
      return false;  // deleted or restored with all its runs
    if (change.subject_kind == "run") runs.push_back(change.subject);
  }
  // New runs come in the order of their rows, which is that of their ids.
  std::ranges::sort(runs);
  runs.erase(std::ranges::unique(runs).begin(), runs.end());
  for (const std::string_view run : runs) {
    TRY_SET(const bool applied, apply_run(run));
    if (!applied) return false;
  }
  return true;
}

}  // namespace

std::optional<RunIdBits> run_id_bits(std::string_view text) {
  if (text.size() != 32) return std::nullopt;
  RunIdBits bits{};
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'a' && c <= 'f')) return std::nullopt;
    bits[i / 16] = bits[i / 16] << 4 | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return bits;
}

std::string run_id_text(const RunIdBits& bits) {
  std::string text(32, '0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = "0123456789abcdef"[bits[i / 16] >> (60 - 4 * (i % 16)) & 15];
  return text;
}

RunColumns::ExperimentPtr RunColumns::experiment(int64_t project, int64_t id, int64_t now_us) {
  std::lock_guard lock(mutex_);
  std::erase_if(experiments_, [&](const auto& each) { return std::abs(now_us - each.second->used_us) > kForgetUs; });
  ExperimentPtr& found = experiments_[{project, id}];
  if (!found) found = std::make_shared<Experiment>();
  found->used_us = now_us;
  return found;
}

RunSnapshotPtr RunColumns::newest_before(Experiment& of, const core::EventView& view) {
  std::lock_guard lock(mutex_);
  for (auto it = of.versions.rbegin(); it != of.versions.rend(); ++it) {
    if (view.sees_all_of((*it)->view)) return *it;
  }
  return nullptr;
}

// Whether only states after `view` are kept.
bool RunColumns::is_outrun(Experiment& of, const core::EventView& view) {
  std::lock_guard lock(mutex_);
  return !of.versions.empty() && std::ranges::none_of(of.versions, [&](const RunSnapshotPtr& version) {
    return view.sees_all_of(version->view);
  });
}

void RunColumns::publish(const ExperimentPtr& of, const RunSnapshotPtr& snapshot) {
  std::lock_guard lock(mutex_);
  // One that is older than what is there, or has fewer columns of the same state, is its reader's own.
  if (!of->versions.empty()) {
    const RunSnapshot& newest = *of->versions.back();
    if (!snapshot->view.sees_all_of(newest.view)) return;
    if (snapshot->view.same_as(newest.view) && snapshot->columns.size() < newest.columns.size()) return;
  }
  of->versions.push_back(snapshot);
  if (of->versions.size() > kVersions) of->versions.pop_front();
  const auto kept = [&] {
    size_t bytes = 0;
    for (const auto& [key, each] : experiments_) bytes += each->versions.empty() ? 0 : each->versions.back()->bytes;
    return bytes;
  };
  while (kept() > kRunColumnBytes) {
    auto oldest = experiments_.end();
    for (auto it = experiments_.begin(); it != experiments_.end(); ++it) {
      if (it->second == of || it->second->versions.empty()) continue;
      if (oldest == experiments_.end() || it->second->used_us < oldest->second->used_us) oldest = it;
    }
    if (oldest == experiments_.end()) break;
    experiments_.erase(oldest);
  }
}

Result<RunSnapshotPtr> RunColumns::load(store::Tx& tx, int64_t id, const core::EventView& view, RunSnapshotPtr base,
                                        std::span<const ColumnKey> keys) {
  Editor editor(tx, id, view, base.get());
  if (!base) {
    TRY_SET(const bool loaded, editor.load_runs());
    if (!loaded) return RunSnapshotPtr();
  }
  for (const ColumnKey& key : keys) {
    if (editor.has(key)) continue;
    TRY_SET(const bool loaded, editor.load_column(key));
    if (!loaded) return RunSnapshotPtr();
  }
  if (editor.bytes() > kRunColumnBytes) editor.drop_columns_except(keys);
  if (editor.bytes() > kRunColumnBytes) return RunSnapshotPtr();
  return editor.take();
}

Result<RunSnapshotPtr> RunColumns::get(store::Tx& tx, int64_t id, std::span<const ColumnKey> keys, bool may_load) {
  TRY_SET(const core::EventView view, core::event_view(tx));
  const ExperimentPtr of = experiment(tx.project(), id, tx.now_us());
  const auto complete = [&](const RunSnapshotPtr& snapshot) {
    return snapshot && std::ranges::all_of(keys, [&](const ColumnKey& key) { return snapshot->find(key) != nullptr; });
  };
  // The newest state that is not after tx's, brought up to it.
  const auto current = [&]() -> Result<RunSnapshotPtr> {
    RunSnapshotPtr base = newest_before(*of, view);
    if (!base || base->view.same_as(view)) return base;
    const size_t limit = std::clamp(base->size / kChangesShare, kLeastChanges, kMostChanges);
    TRY_SET(const auto changes, core::events_since(tx, base->view, limit));
    if (!changes) return RunSnapshotPtr();
    Editor editor(tx, id, view, base.get());
    TRY_SET(const bool applied, editor.apply(*changes));
    if (!applied) return RunSnapshotPtr();
    RunSnapshotPtr next = editor.take();
    publish(of, next);
    return next;
  };
  TRY_SET(RunSnapshotPtr snapshot, current());
  if (complete(snapshot)) return snapshot;
  if (!may_load || is_outrun(*of, view)) return RunSnapshotPtr();
  std::lock_guard loading(of->loading);
  TRY_SET(snapshot, current());  // somebody may have loaded it meanwhile
  if (complete(snapshot)) return snapshot;
  if (is_outrun(*of, view)) return RunSnapshotPtr();
  {
    std::lock_guard lock(mutex_);
    if (of->refused_us != 0 && std::abs(tx.now_us() - of->refused_us) < kRefusalUs) return RunSnapshotPtr();
  }
  TRY_SET(snapshot, load(tx, id, view, snapshot, keys));
  if (snapshot) {
    publish(of, snapshot);
  } else {
    std::lock_guard lock(mutex_);
    of->refused_us = tx.now_us();
  }
  return snapshot;
}

}  // namespace track
