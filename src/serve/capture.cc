#include "serve/capture.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <ranges>
#include <set>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "serve/capture_archive.h"
#include "serve/capture_reader.h"
#include "serve/capture_ring.h"
#include "serve/capture_segment.h"

namespace serve {

// What is open behind one endpoint, and the number that ids minted now will name. The file is made by the first record.
struct CaptureTarget {
  int64_t project = 0;
  std::string endpoint;
  std::atomic<uint32_t> segment{0};
  std::unique_ptr<SegmentFile> file;  // writer thread
  int64_t opened_us = 0;              // writer thread
  std::atomic<int64_t> keep_us{0};    // 0: as the options say
  std::set<CaptureSource> adopted;    // writer thread: of data planes' records in `file`, which knows them by address
};

// A data plane's record on its way to the writer thread.
struct Adopted {
  CaptureTarget* target = nullptr;
  CaptureSource source;
  std::string payload;
};

// What a request loses on its way into a segment. Nothing, unless the endpoint's rule redacts.
struct Redaction {
  size_t features = 0, text_features = 0;  // of a row as it comes
  std::vector<size_t> numbers, texts;      // places that stay
  bool client_id = false;                  // goes
  bool rows = false;                       // some feature goes
};

class CaptureStream {
 public:
  CaptureStream(CaptureSource source, Redaction redaction, CaptureTarget& target)
      : source_(std::move(source)), redaction_(std::move(redaction)), target_(target) {}
  const CaptureSource& source() const { return source_; }
  const Redaction& redaction() const { return redaction_; }
  CaptureTarget& target() const { return target_; }

 private:
  const CaptureSource source_;
  const Redaction redaction_;
  CaptureTarget& target_;
};

namespace {

using std::chrono::microseconds;

constexpr int64_t kCollectUs = 20'000;  // while requests come: one batch of writes per this long
constexpr int64_t kIdleUs = 500'000;    // while none come: at most this long until a missed wake-up is noticed
constexpr int64_t kRetentionUs = 60'000'000;
constexpr size_t kLargeRings = 16;  // of the loops; threads that wait for models come later, and record less
constexpr size_t kMaxRings = 256;   // recording threads: the id's slot is one byte
constexpr size_t kMaxPending = size_t{4} << 20;  // bytes gathered per segment before they are written

// Whether a request is among the sampled share: by its id, so that all who see the id answer the same.
bool is_sampled(const base::Uuid& id, double share) {
  uint64_t x = 0;
  std::memcpy(&x, id.data() + 8, sizeof x);
  uint64_t ms = 0;
  std::memcpy(&ms, id.data(), sizeof ms);
  x = (x ^ ms) + 0x9e3779b97f4a7c15;  // splitmix64's finish
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  x ^= x >> 31;
  return static_cast<double>(x >> 11) * 0x1p-53 < share;
}

// Takes the redacted names away; what is left is what is written.
Redaction redact(CaptureSource& source, const CaptureRule& rule) {
  Redaction out{.features = source.features.size(), .text_features = source.text_features.size()};
  const auto goes = [&rule](const std::string& name) {
    return std::ranges::find(rule.redact, name) != rule.redact.end();
  };
  const auto split = [&](std::vector<std::string>& names, std::vector<size_t>& places) {
    std::vector<std::string> kept;
    for (size_t i = 0; i < names.size(); ++i) {
      if (goes(names[i])) {
        source.redacted.push_back(names[i]);
        out.rows = true;
      } else {
        kept.push_back(names[i]);
        places.push_back(i);
      }
    }
    names = std::move(kept);
  };
  split(source.features, out.numbers);
  split(source.text_features, out.texts);
  if (goes(std::string(kClientId))) {
    out.client_id = true;
    if (std::ranges::find(source.redacted, kClientId) == source.redacted.end()) source.redacted.emplace_back(kClientId);
  }
  source.sample = rule.sample;
  return out;
}

template <class T>
void pick_columns(std::span<const T> rows, size_t width, const std::vector<size_t>& places, uint32_t count,
                  std::vector<T>& out) {
  out.clear();
  for (uint32_t row = 0; row < count; ++row)
    for (const size_t place : places) out.push_back(rows[row * width + place]);
}

class CaptureImpl final : public Capture {
 public:
  CaptureImpl(base::Path dir, const Options& options, base::Registry& metrics)
      : dir_(std::move(dir)),
        options_(options),
        instance_(next_instance()),
        records_(metrics.counter("lathe_capture_records_total", "Requests written to capture.")),
        bytes_(metrics.counter("lathe_capture_bytes_total", "Bytes written to capture.")),
        dropped_full_(dropped(metrics, "queue_full")),
        dropped_large_(dropped(metrics, "too_large")),
        dropped_disk_(dropped(metrics, "disk")),
        cut_bytes_(metrics.counter("lathe_capture_cut_bytes_total", "Bytes of torn tails cut off at start.")),
        sampled_out_(metrics.counter("lathe_capture_sampled_out_total", "Requests that sampling left out.")),
        metrics_(metrics) {}
  ~CaptureImpl() override;

  base::Result<void> start();

  base::Uuid new_id(CaptureStream& stream, int64_t now_us) override;
  void record(CaptureStream& stream, const CaptureRecord& record) override;
  CaptureStream& stream(const CaptureSource& source, const CaptureRule& rule) override;
  void flush() override;
  base::Result<void> adopt(std::span<const CapturedRequest> requests) override;
  uint16_t writer() const override { return writer_; }
  std::vector<std::pair<int64_t, std::string>> endpoints() const override { return index_.endpoints(); }
  base::Result<Batch> read(int64_t project, std::string_view endpoint, CapturePosition from, size_t limit) override {
    return reader_->read(project, endpoint, from, limit);
  }
  base::Result<Newest> read_newest(int64_t project, std::string_view endpoint, CapturePosition before, size_t limit,
                                   size_t most_scanned, const Filter& wanted) override {
    return reader_->read_newest(project, endpoint, before, limit, most_scanned, wanted);
  }
  CapturePosition seek(int64_t project, std::string_view endpoint, int64_t at_us) override {
    return reader_->seek(project, endpoint, at_us);
  }
  base::Result<std::optional<CapturedRequest>> find(std::string_view id) override;
  base::Result<std::vector<std::optional<CapturedRequest>>> find(std::span<const std::string> ids) override {
    return reader_->find(ids);
  }

 private:
  static uint64_t next_instance() {
    static std::atomic<uint64_t> counter{0};
    return ++counter;
  }
  static base::Counter& dropped(base::Registry& metrics, const char* reason) {
    return metrics.counter("lathe_capture_dropped_total", "Requests answered but not captured.", {{"reason", reason}});
  }

  base::Result<void> take_writer_number();
  base::Result<void> recover();
  CaptureRing* ring_here();

  void run();
  size_t drain();
  CaptureTarget& target_of(int64_t project, const std::string& endpoint);
  void append(CaptureTarget& target, const CaptureSource& source, char* payload, size_t size);
  void append_adopted(std::vector<Adopted> records);
  void lose(size_t requests);
  bool open_target(CaptureTarget& target);
  void close_target(CaptureTarget& target);
  void write_out(CaptureTarget& target);
  void write_all();
  void sync_all();
  void close_old();
  void apply_retention();
  std::vector<CaptureTarget*> targets();

  const base::Path dir_;
  const Options options_;
  const uint64_t instance_;  // tells thread-local rings of different Captures apart
  base::Counter& records_;
  base::Counter& bytes_;
  base::Counter& dropped_full_;
  base::Counter& dropped_large_;
  base::Counter& dropped_disk_;
  base::Counter& cut_bytes_;
  base::Counter& sampled_out_;
  base::Registry& metrics_;

  uint16_t writer_ = 0;
  base::Path folder_;  // of our own segments
  SegmentIndex index_;
  std::atomic<uint32_t> next_segment_{1};

  std::mutex mutex_;  // streams, targets, rings, flush requests
  std::condition_variable wake_, flushed_;
  std::map<CaptureSource, std::unique_ptr<CaptureStream>> streams_;
  std::map<std::pair<int64_t, std::string>, std::unique_ptr<CaptureTarget>> targets_;
  std::vector<std::unique_ptr<CaptureRing>> rings_;
  std::vector<Adopted> adopted_;  // not with the writer thread yet
  uint64_t flush_wanted_ = 0, flush_done_ = 0;
  bool stop_ = false;
  std::atomic<bool> idle_{false};

  std::mutex adopting_;            // one at a time: what is looked for is then written
  std::atomic<uint64_t> lost_{0};  // requests and flushes that the disk did not take

  // writer thread
  int64_t first_unsynced_us_ = 0;
  int64_t next_retention_us_ = 0;
  int64_t last_complaint_us_ = 0;
  std::thread thread_;

  std::unique_ptr<SegmentArchive> archive_;  // goes before the index that it changes
  std::unique_ptr<CaptureReader> reader_;    // of both
};

CaptureImpl::~CaptureImpl() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

base::Result<void> CaptureImpl::start() {
  TRY(base::make_dirs(dir_));
  TRY(take_writer_number());
  TRY(base::make_dirs(folder_));
  TRY(recover());
  archive_ = std::make_unique<SegmentArchive>(
      SegmentArchive::Options{options_.binary, options_.archive_us, options_.archive_look_us}, index_, metrics_);
  reader_ = std::make_unique<CaptureReader>(index_, *archive_, writer_);
  thread_ = std::thread([this] { run(); });
  return {};
}

// A server's own number, drawn once: ids of several servers' predictions never meet.
base::Result<void> CaptureImpl::take_writer_number() {
  const base::Path file = dir_ / "writer";
  auto text = base::read_file(file, 64);
  if (!text) {
    if (text.error().code != base::Code::kNotFound) return std::unexpected(std::move(text).error());
    char drawn[8];
    std::snprintf(drawn, sizeof drawn, "%04x\n", static_cast<unsigned>(base::system_random().next_u64() & 0x3fff));
    TRY(base::write_file_durably(file, drawn));
    text = drawn;
  }
  char* end = nullptr;
  const unsigned long number = std::strtoul(text->c_str(), &end, 16);
  if (end != text->c_str() + 4 || number > 0x3fff)
    return base::internal(file.string() + " does not hold a writer's number");
  writer_ = static_cast<uint16_t>(number);
  folder_ = dir_ / text->substr(0, 4);
  return {};
}

base::Result<void> CaptureImpl::recover() {
  std::error_code error;
  int64_t cut = 0;
  uint32_t highest = 0;
  for (const auto& folder : std::filesystem::directory_iterator(dir_, error)) {
    if (!folder.is_directory(error)) continue;
    std::vector<base::Path> archived;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path(), error)) {
      const base::Path& path = entry.path();
      if (path.extension() == ".index") archived.push_back(path);
      if (path.extension() != ".cap" && path.extension() != ".index") continue;
      // Its number is never used again, even if nothing of it could be saved.
      if (folder.path() == folder_)
        highest = std::max(highest, static_cast<uint32_t>(std::strtoul(path.stem().c_str(), nullptr, 16)));
      if (path.extension() == ".index") continue;
      TRY_SET(std::shared_ptr<Segment> segment, recover_segment(path, cut));
      if (segment) index_.add(std::move(segment));
    }
    for (base::Path& path : archived) {
      std::error_code ignored;
      if (std::filesystem::exists(base::Path(path).replace_extension(".cap"), ignored)) continue;  // it is the truth
      if (auto segment = open_archived(path)) index_.add(std::move(segment));
    }
  }
  cut_bytes_.add(static_cast<uint64_t>(cut));
  next_segment_ = highest + 1;
  return {};
}

// --- recording ------------------------------------------------------------------------------------------------------

CaptureRing* CaptureImpl::ring_here() {
  struct Known {
    uint64_t instance;
    CaptureRing* ring;
  };
  thread_local std::vector<Known> known;  // one entry, but for tests with several Captures
  for (const Known& entry : known) {
    if (entry.instance == instance_) [[likely]]
      return entry.ring;
  }
  std::lock_guard lock(mutex_);
  CaptureRing* ring = nullptr;
  if (rings_.size() < kMaxRings) {
    const size_t bytes =
        rings_.size() < kLargeRings ? options_.ring_bytes : std::max<size_t>(options_.ring_bytes / 4, 4096);
    rings_.push_back(std::make_unique<CaptureRing>(bytes, static_cast<uint8_t>(rings_.size())));
    ring = rings_.back().get();
  }
  known.push_back({instance_, ring});
  return ring;
}

base::Uuid CaptureImpl::new_id(CaptureStream& stream, int64_t now_us) {
  CaptureRing* ring = ring_here();
  if (!ring) return base::make_uuid7(base::system_random(), now_us);  // a thread too many: its records are dropped
  return format::make_id(now_us, {.writer = writer_,
                                  .segment = stream.target().segment.load(std::memory_order_relaxed),
                                  .slot = ring->slot(),
                                  .sequence = ring->next_sequence()});
}

void CaptureImpl::record(CaptureStream& stream, const CaptureRecord& given) {
  CaptureRing* ring = ring_here();
  CaptureRecord record = given;
  const CaptureSource& source = stream.source();
  if (source.sample < 1 && !is_sampled(record.sampled_by ? *record.sampled_by : record.id, source.sample))
    return sampled_out_.add();
  if (!source.redacted.empty()) {
    const Redaction& redaction = stream.redaction();
    if (redaction.client_id) record.client_id = {};
    thread_local std::vector<double> numbers;
    thread_local std::vector<std::string> texts;
    if (redaction.rows) {
      const bool fits = record.rows.size() == redaction.features * record.row_count &&
                        record.texts.size() == redaction.text_features * record.row_count;
      pick_columns(record.rows, redaction.features, redaction.numbers, fits ? record.row_count : 0, numbers);
      pick_columns(record.texts, redaction.text_features, redaction.texts, fits ? record.row_count : 0, texts);
      record.rows = numbers;
      record.texts = texts;
    }
  }
  if (record.rows.size() != source.features.size() * record.row_count) record.rows = {};  // kMaxFeatures: no rows kept
  if (record.texts.size() != source.text_features.size() * record.row_count) record.texts = {};
  if (!source.routed) record.route = {};
  const size_t size = format::request_bytes(record);
  if (size > options_.record_bytes) return dropped_large_.add();
  char* out = ring ? ring->reserve(&stream, size) : nullptr;
  if (!out) return dropped_full_.add();
  format::encode_request(record, out);
  ring->commit();
  // No fence between commit and this load: a wake-up missed by a hair costs the record kIdleUs, not the request a
  // fence.
  if (idle_.load(std::memory_order_relaxed)) {
    idle_.store(false, std::memory_order_relaxed);
    wake_.notify_one();
  }
}

// The caller holds mutex_.
CaptureTarget& CaptureImpl::target_of(int64_t project, const std::string& endpoint) {
  auto& target = targets_[{project, endpoint}];
  if (!target) {
    target = std::make_unique<CaptureTarget>();
    target->project = project;
    target->endpoint = endpoint;
    target->segment = next_segment_++;
  }
  return *target;
}

CaptureStream& CaptureImpl::stream(const CaptureSource& source, const CaptureRule& rule) {
  CaptureSource kept = source;
  Redaction redaction = redact(kept, rule);
  if (kept.features.size() + kept.text_features.size() > kMaxFeatures)
    kept.features.clear(), kept.text_features.clear();
  std::lock_guard lock(mutex_);
  auto& stream = streams_[kept];
  if (!stream) {
    CaptureTarget& target = target_of(kept.project, kept.endpoint);
    stream = std::make_unique<CaptureStream>(std::move(kept), std::move(redaction), target);
  }
  stream->target().keep_us = rule.keep_us;
  return *stream;
}

void CaptureImpl::flush() {
  std::unique_lock lock(mutex_);
  const uint64_t mine = ++flush_wanted_;
  wake_.notify_all();
  flushed_.wait(lock, [&] { return flush_done_ >= mine; });
}

base::Result<void> CaptureImpl::adopt(std::span<const CapturedRequest> requests) {
  std::lock_guard adopting(adopting_);
  flush();  // so that what was handed in before is found
  std::vector<std::string> ids;
  for (const CapturedRequest& request : requests) ids.push_back(request.id);
  TRY_SET(const auto known, find(ids));
  const uint64_t lost = lost_;
  std::set<std::string_view> seen;
  {
    std::lock_guard lock(mutex_);
    for (size_t i = 0; i < requests.size(); ++i) {
      const auto id = parse_prediction_id(requests[i].id);
      if (!id || known[i] || !seen.insert(requests[i].id).second) continue;
      CaptureSource source = format::source_of(requests[i]);
      source.origin = format::place_of(format::parse_id(*id));
      adopted_.push_back(
          {&target_of(source.project, source.endpoint), std::move(source), format::encode_captured(requests[i])});
    }
  }
  flush();
  if (lost_ != lost) return base::fail(base::Code::kUnavailable, "capture: the disk does not take it");
  return {};
}

// --- the writer thread ----------------------------------------------------------------------------------------------

void CaptureImpl::run() {
  for (;;) {
    uint64_t flush_upto = 0;
    bool stopping = false;
    {
      std::lock_guard lock(mutex_);
      flush_upto = flush_wanted_;
      stopping = stop_;
    }
    const size_t drained = drain();
    const int64_t now = base::system_clock().mono_us();
    size_t unsynced = 0;
    for (CaptureTarget* target : targets()) unsynced += target->file ? target->file->unsynced_bytes() : 0;
    if (unsynced > 0 && first_unsynced_us_ == 0) first_unsynced_us_ = now;
    const bool due = unsynced >= options_.sync_bytes || (unsynced > 0 && now - first_unsynced_us_ >= options_.sync_us);
    if (due || flush_upto > flush_done_ || stopping) sync_all();
    close_old();
    if (now >= next_retention_us_) {
      apply_retention();
      next_retention_us_ = now + kRetentionUs;
    }
    std::unique_lock lock(mutex_);
    if (flush_upto > flush_done_) {
      flush_done_ = flush_upto;
      flushed_.notify_all();
    }
    if (stopping) break;
    if (stop_ || flush_wanted_ > flush_done_) continue;
    if (drained > 0) {
      wake_.wait_for(lock, microseconds(kCollectUs), [&] { return stop_ || flush_wanted_ > flush_done_; });
    } else {
      idle_.store(true, std::memory_order_relaxed);
      wake_.wait_for(lock, microseconds(first_unsynced_us_ ? std::min(options_.sync_us, kIdleUs) : kIdleUs));
      idle_.store(false, std::memory_order_relaxed);
    }
  }
  for (CaptureTarget* target : targets()) close_target(*target);
}

size_t CaptureImpl::drain() {
  std::vector<CaptureRing*> rings;
  std::vector<Adopted> adopted;
  {
    std::lock_guard lock(mutex_);
    for (const auto& ring : rings_) rings.push_back(ring.get());
    adopted = std::exchange(adopted_, {});
  }
  size_t drained = adopted.size();
  append_adopted(std::move(adopted));
  for (CaptureRing* ring : rings) {
    for (auto record = ring->front(); record.stream; record = ring->front()) {
      append(record.stream->target(), record.stream->source(), record.bytes, record.size);
      ring->pop();
      ++drained;
    }
  }
  write_all();
  return drained;
}

void CaptureImpl::append(CaptureTarget& target, const CaptureSource& source, char* payload, size_t size) {
  if (target.file && target.file->size() >= options_.segment_bytes) close_target(target);
  if (!open_target(target)) return lose(1);
  target.file->append_request(payload, size, target.file->number_of(source));
  if (target.file->size() - static_cast<size_t>(target.file->segment()->readable.load()) > kMaxPending)
    write_out(target);
}

void CaptureImpl::append_adopted(std::vector<Adopted> records) {
  for (Adopted& record : records) {
    CaptureTarget& target = *record.target;
    if (target.file && target.file->size() >= options_.segment_bytes) close_target(target);  // its sources go with it
    const CaptureSource& source = *target.adopted.insert(std::move(record.source)).first;
    append(target, source, record.payload.data(), record.payload.size());
  }
}

void CaptureImpl::lose(size_t requests) {
  dropped_disk_.add(requests);
  lost_ += requests;
}

bool CaptureImpl::open_target(CaptureTarget& target) {
  if (target.file) return true;
  const int64_t now = base::system_clock().wall_us();
  auto file = SegmentFile::create(folder_, {.project = target.project,
                                            .endpoint = target.endpoint,
                                            .writer = writer_,
                                            .segment = target.segment,
                                            .created_us = now});
  if (!file) {
    if (now - last_complaint_us_ > kRetentionUs) {
      base::log::error("capture: a segment cannot be opened; requests are not captured",
                       {{"endpoint", target.endpoint}, {"error", file.error().message}});
      last_complaint_us_ = now;
    }
    target.segment = next_segment_++;  // whatever is left of that name is not ours to overwrite
    return false;
  }
  target.file = std::move(*file);
  target.opened_us = now;
  index_.add(target.file->segment());
  return true;
}

void CaptureImpl::close_target(CaptureTarget& target) {
  if (!target.file) return;
  write_out(target);
  if (auto closed = target.file->close(); !closed) {
    base::log::error("capture: a segment cannot be closed",
                     {{"endpoint", target.endpoint}, {"error", closed.error().message}});
  }
  target.file.reset();
  target.adopted.clear();
  target.segment = next_segment_++;
}

void CaptureImpl::write_out(CaptureTarget& target) {
  if (!target.file) return;
  const size_t requests = target.file->pending_requests();
  const auto before = target.file->segment()->readable.load();
  if (auto written = target.file->write(); !written) {
    lose(requests);
    const int64_t now = base::system_clock().wall_us();
    if (now - last_complaint_us_ > kRetentionUs) {
      base::log::error("capture: the disk does not take it; requests are not captured",
                       {{"endpoint", target.endpoint}, {"error", written.error().message}});
      last_complaint_us_ = now;
    }
    return;
  }
  records_.add(requests);
  bytes_.add(static_cast<uint64_t>(target.file->segment()->readable.load() - before));
}

std::vector<CaptureTarget*> CaptureImpl::targets() {
  std::lock_guard lock(mutex_);
  std::vector<CaptureTarget*> out;
  for (const auto& entry : targets_) out.push_back(entry.second.get());
  return out;
}

void CaptureImpl::write_all() {
  for (CaptureTarget* target : targets()) write_out(*target);
}

void CaptureImpl::sync_all() {
  for (CaptureTarget* target : targets()) {
    if (!target->file) continue;
    if (auto synced = target->file->sync(); !synced) {
      ++lost_;
      base::log::error("capture", {{"error", synced.error().message}});
    }
  }
  first_unsynced_us_ = 0;
}

void CaptureImpl::close_old() {
  const int64_t now = base::system_clock().wall_us();
  for (CaptureTarget* target : targets()) {
    if (target->file && now - target->opened_us >= options_.segment_us) close_target(*target);
  }
}

void CaptureImpl::apply_retention() {
  const int64_t now = base::system_clock().wall_us();
  std::vector<SegmentIndex::Ptr> all = index_.all();
  uint64_t total = 0;
  const auto bytes_of = [](const Segment& segment) {
    return static_cast<uint64_t>(segment.archived ? segment.disk_bytes : segment.readable.load());
  };
  std::map<std::pair<int64_t, std::string>, int64_t> keep;
  for (const CaptureTarget* target : targets())
    if (target->keep_us > 0) keep[{target->project, target->endpoint}] = target->keep_us;
  for (const auto& segment : all) total += bytes_of(*segment);
  std::ranges::sort(all, {}, [](const auto& segment) { return segment->last_us.load(); });
  for (const auto& segment : all) {
    if (!segment->closed) continue;
    const auto own = keep.find({segment->header.project, segment->header.endpoint});
    const int64_t keep_us = own == keep.end() ? options_.keep_us : std::min(own->second, options_.keep_us);
    if (total <= options_.keep_bytes && now - segment->last_us < keep_us) continue;
    total -= bytes_of(*segment);
    index_.remove(*segment);
    remove_segment_files(*segment);
  }
  archive_->forget_unused();
}

base::Result<std::optional<CapturedRequest>> CaptureImpl::find(std::string_view text) {
  const std::string id(text);
  if (!parse_prediction_id(id))
    return base::invalid("'" + id.substr(0, 64) + "' is not a prediction's id (pr_ and 26 characters)");
  TRY_SET(auto found, find({&id, 1}));
  return std::move(found.front());
}

}  // namespace

base::Result<std::unique_ptr<Capture>> Capture::open(const base::Path& dir, base::Registry& metrics,
                                                     const Options& options) {
  auto capture = std::make_unique<CaptureImpl>(dir, options, metrics);
  if (auto started = capture->start(); !started) return std::unexpected(std::move(started).error().within("capture"));
  return std::unique_ptr<Capture>(std::move(capture));
}

std::string Capture::record(CapturedRequest request) {
  CaptureStream& to = stream(format::source_of(request));
  CaptureRecord given = format::record_of(request);
  if (given.id == base::Uuid{}) given.id = new_id(to, request.at_us);
  record(to, given);
  return prediction_id(given.id);
}

}  // namespace serve
