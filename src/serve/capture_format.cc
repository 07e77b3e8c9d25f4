#include "serve/capture_format.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/hash.h"
#include "base/json.h"
#include "base/json_writer.h"

namespace serve::format {
namespace {

constexpr std::string_view kMagic = "LATHECAP";
constexpr std::string_view kClosed = "CAPCLOSE";
constexpr uint32_t kVersion = 1;
constexpr size_t kMaxHeaderBytes = 4096;
constexpr size_t kMaxFrameBytes = size_t{64} << 20;

// Request payload: 'R', u24 duration in µs, u32 source, 16 bytes id, i64 time, u32 rows, u32 features a row, u32 texts
// a row, u32 labels, u32 scores, u32 client id bytes; then doubles of the rows, of the scores, and texts as u32 length
// + bytes: client id's bytes first, then the rows' texts, then the labels.
struct RequestHead {
  char kind = kRequestFrame;
  std::array<uint8_t, 3> duration{};
  uint32_t source = 0;
  std::array<uint8_t, 16> id{};
  int64_t at_us = 0;
  uint32_t rows = 0;
  uint32_t numbers = 0;
  uint32_t texts = 0;
  uint32_t labels = 0;
  uint32_t scores = 0;
  uint32_t client_id = 0;
};
static_assert(sizeof(RequestHead) == 56);

// Longer answers count as this long; 0 is not known (records of servers that did not measure it).
constexpr int64_t kMaxDurationUs = (int64_t{1} << 24) - 1;

std::string_view cut_client_id(std::string_view id) { return id.substr(0, Capture::kMaxClientIdBytes); }

template <class T>
T load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

char* put(char* out, const void* bytes, size_t size) {
  if (size > 0) std::memcpy(out, bytes, size);
  return out + size;
}
char* put_text(char* out, std::string_view text) {
  const auto size = static_cast<uint32_t>(text.size());
  out = put(out, &size, sizeof size);
  return put(out, text.data(), text.size());
}

// Reads what put() wrote; every step is bounded by the payload.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool doubles(size_t count, std::vector<double>& out) {
    if (count > rest_.size() / sizeof(double)) return false;
    out.resize(count);
    if (count > 0) std::memcpy(out.data(), rest_.data(), count * sizeof(double));
    rest_.remove_prefix(count * sizeof(double));
    return true;
  }
  bool text(std::string& out) {
    if (rest_.size() < sizeof(uint32_t)) return false;
    const auto size = load<uint32_t>(rest_.data());
    rest_.remove_prefix(sizeof size);
    return take(size, out);
  }
  bool take(size_t size, std::string& out) {
    if (size > rest_.size()) return false;
    out.assign(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return true;
  }
  bool texts(size_t count, std::vector<std::string>& out) {
    if (count > rest_.size() / sizeof(uint32_t)) return false;
    out.resize(count);
    return std::ranges::all_of(out, [&](std::string& one) { return text(one); });
  }
  bool done() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

void write_source(base::JsonWriter& json, const CaptureSource& source) {
  json.begin_object().field("revision", source.revision).key("features").begin_array();
  for (const std::string& name : source.features) json.value(name);
  json.end_array().key("text_features").begin_array();
  for (const std::string& name : source.text_features) json.value(name);
  json.end_array();
  if (source.sample < 1) json.field("sample", source.sample);
  if (!source.role.empty()) json.field("role", source.role);
  if (source.origin != 0) json.field("origin", static_cast<int64_t>(source.origin));
  if (source.routed) json.field("routed", true);
  if (!source.redacted.empty()) {
    json.key("redacted").begin_array();
    for (const std::string& name : source.redacted) json.value(name);
    json.end_array();
  }
  json.end_object();
}

base::Result<std::vector<std::string>> names(const base::json::object& object, std::string_view key) {
  TRY_SET(const base::json::array* list, base::required_array(object, key));
  std::vector<std::string> out;
  for (const auto& entry : *list) {
    if (!entry.is_string()) return base::invalid(std::string(key) + " must hold text");
    out.emplace_back(entry.as_string());
  }
  return out;
}

base::Result<base::Uuid> prediction(const base::json::object& object, std::string_view key) {
  TRY_SET(const std::string text, base::required_string(object, key));
  if (text.empty()) return base::Uuid{};  // of a segment without a request, as older ones were closed
  const auto id = parse_prediction_id(text);
  if (!id) return base::invalid(std::string(key) + " is not a prediction's id");
  return *id;
}

base::Result<CaptureSource> read_source(const base::json::object& object, const FileHeader& header) {
  CaptureSource source{.project = header.project, .endpoint = header.endpoint};
  TRY_SET(source.revision, base::required_int(object, "revision"));
  TRY_SET(source.features, names(object, "features"));
  TRY_SET(source.text_features, names(object, "text_features"));
  if (const base::json::value* sample = object.if_contains("sample"); sample && sample->is_number())
    source.sample = sample->to_number<double>();
  TRY_SET(const auto role, base::optional_string(object, "role"));
  source.role = role.value_or("");
  TRY_SET(const auto origin, base::optional_int(object, "origin"));
  source.origin = static_cast<uint64_t>(origin.value_or(0));
  TRY_SET(const auto routed, base::optional_bool(object, "routed"));
  source.routed = routed.value_or(false);
  if (object.if_contains("redacted")) {
    TRY_SET(source.redacted, names(object, "redacted"));
  }
  return source;
}

}  // namespace

base::Uuid make_id(int64_t wall_us, const IdParts& parts) {
  const auto ms = static_cast<uint64_t>(wall_us / 1000);
  const uint64_t high = (ms << 16) | 0x7000 | ((parts.sequence >> 16) & 0xfff);
  const uint64_t low = (uint64_t{2} << 62) | (static_cast<uint64_t>(parts.writer & 0x3fff) << 48) |
                       (static_cast<uint64_t>(parts.segment & 0xffffff) << 24) |
                       (static_cast<uint64_t>(parts.slot) << 16) | (parts.sequence & 0xffff);
  base::Uuid id;
  for (int i = 0; i < 8; ++i) {
    id[static_cast<size_t>(i)] = static_cast<uint8_t>(high >> (56 - 8 * i));
    id[static_cast<size_t>(i) + 8] = static_cast<uint8_t>(low >> (56 - 8 * i));
  }
  return id;
}

IdParts parse_id(const base::Uuid& id) {
  uint64_t high = 0, low = 0;
  for (size_t i = 0; i < 8; ++i) {
    high = high << 8 | id[i];
    low = low << 8 | id[i + 8];
  }
  return {.writer = static_cast<uint16_t>(low >> 48 & 0x3fff),
          .segment = static_cast<uint32_t>(low >> 24 & 0xffffff),
          .slot = static_cast<uint8_t>(low >> 16),
          .sequence = static_cast<uint32_t>((high & 0xfff) << 16 | (low & 0xffff))};
}

std::string header_json(const FileHeader& header) {
  std::string text;
  base::JsonWriter(text)
      .begin_object()
      .field("project", header.project)
      .field("endpoint", header.endpoint)
      .field("writer", header.writer)
      .field("segment", header.segment)
      .field("created_us", header.created_us)
      .end_object();
  return text;
}

base::Result<FileHeader> parse_header_json(std::string_view json) {
  TRY_SET(const base::json::value value, base::parse_json(json));
  TRY_SET(const base::json::object* object, base::as_object(value, "header"));
  FileHeader header;
  TRY_SET(header.project, base::required_int(*object, "project"));
  TRY_SET(header.endpoint, base::required_string(*object, "endpoint"));
  TRY_SET(const int64_t writer, base::required_int(*object, "writer"));
  TRY_SET(const int64_t segment, base::required_int(*object, "segment"));
  TRY_SET(header.created_us, base::required_int(*object, "created_us"));
  header.writer = static_cast<uint16_t>(writer);
  header.segment = static_cast<uint32_t>(segment);
  return header;
}

std::string encode_header(const FileHeader& header) {
  const std::string text = header_json(header);
  std::string out(kMagic);
  append(out, kVersion);
  append(out, static_cast<uint32_t>(text.size()));
  out += text;
  append(out, base::crc32c(out));
  return out;
}

base::Result<FileHeader> decode_header(std::string_view bytes, size_t& length) {
  if (bytes.size() < 16 || !bytes.starts_with(kMagic)) return base::invalid("not a capture segment");
  if (const auto version = load<uint32_t>(bytes.data() + 8); version != kVersion) {
    return base::fail(base::Code::kUnsupported, "capture segment of version " + std::to_string(version) +
                                                    "; this Lathe reads " + std::to_string(kVersion));
  }
  const size_t size = load<uint32_t>(bytes.data() + 12);
  if (size > kMaxHeaderBytes || bytes.size() < 16 + size + 4)
    return base::invalid("capture segment with a torn header");
  if (load<uint32_t>(bytes.data() + 16 + size) != base::crc32c(bytes.substr(0, 16 + size))) {
    return base::invalid("capture segment with a torn header");
  }
  TRY_SET(FileHeader header, parse_header_json(bytes.substr(16, size)));
  length = 16 + size + 4;
  return header;
}

size_t request_bytes(const CaptureRecord& record) {
  size_t size = sizeof(RequestHead) + (record.rows.size() + record.scores.size()) * sizeof(double) +
                cut_client_id(record.client_id).size();
  for (const std::string& text : record.texts) size += sizeof(uint32_t) + text.size();
  for (const std::string& label : record.labels) size += sizeof(uint32_t) + label.size();
  if (!record.route.empty()) size += sizeof(uint32_t) + record.route.size();
  return size;
}

void encode_request(const CaptureRecord& record, char* out) {
  const std::string_view client_id = cut_client_id(record.client_id);
  const uint32_t rows = std::max<uint32_t>(record.row_count, 1);
  RequestHead head;
  head.id = record.id;
  head.at_us = record.at_us;
  const auto duration = static_cast<uint32_t>(std::clamp<int64_t>(record.duration_us, 0, kMaxDurationUs));
  std::memcpy(head.duration.data(), &duration, head.duration.size());
  head.rows = record.row_count;
  head.numbers = static_cast<uint32_t>(record.rows.size() / rows);
  head.texts = static_cast<uint32_t>(record.texts.size() / rows);
  head.labels = static_cast<uint32_t>(record.labels.size());
  head.scores = static_cast<uint32_t>(record.scores.size());
  head.client_id = static_cast<uint32_t>(client_id.size());
  out = put(out, &head, sizeof head);
  out = put(out, record.rows.data(), record.rows.size_bytes());
  out = put(out, record.scores.data(), record.scores.size_bytes());
  out = put(out, client_id.data(), client_id.size());
  for (const std::string& text : record.texts) out = put_text(out, text);
  for (const std::string& label : record.labels) out = put_text(out, label);
  if (!record.route.empty()) put_text(out, record.route);
}

void set_source_number(char* payload, uint32_t number) { std::memcpy(payload + 4, &number, sizeof number); }
uint32_t source_number(std::string_view payload) { return payload.size() < 8 ? 0 : load<uint32_t>(payload.data() + 4); }

base::Uuid request_id(std::string_view payload) {
  base::Uuid id{};
  if (payload.size() >= sizeof(RequestHead)) std::memcpy(id.data(), payload.data() + 8, id.size());
  return id;
}

int64_t request_time(std::string_view payload) {
  return payload.size() >= sizeof(RequestHead) ? load<int64_t>(payload.data() + 24) : 0;
}

base::Result<CapturedRequest> decode_request(std::string_view payload, const CaptureSource& source) {
  const auto damaged = [] { return base::internal("a capture record does not have the form it claims"); };
  if (payload.size() < sizeof(RequestHead)) return damaged();
  const auto head = load<RequestHead>(payload.data());
  uint32_t duration = 0;
  std::memcpy(&duration, head.duration.data(), head.duration.size());
  CapturedRequest request{.at_us = head.at_us,
                          .duration_us = duration,
                          .project = source.project,
                          .endpoint = source.endpoint,
                          .revision = source.revision,
                          .row_count = head.rows,
                          .sample = source.sample,
                          .redacted = source.redacted,
                          .role = source.role,
                          .routed = source.routed};
  request.id = prediction_id(head.id);
  if (head.numbers > 0) request.features = source.features;
  if (head.texts > 0) request.text_features = source.text_features;
  if (request.features.size() != head.numbers || request.text_features.size() != head.texts) return damaged();
  Reader reader(payload.substr(sizeof(RequestHead)));
  const uint64_t rows = head.rows;
  if (!reader.doubles(rows * head.numbers, request.rows) || !reader.doubles(head.scores, request.scores) ||
      !reader.take(head.client_id, request.client_id) || !reader.texts(rows * head.texts, request.texts) ||
      !reader.texts(head.labels, request.labels) || (source.routed && !reader.done() && !reader.text(request.route)) ||
      !reader.done()) {
    return damaged();
  }
  return request;
}

std::string encode_source(uint32_t number, const CaptureSource& source) {
  std::string out = {kSourceFrame, 0, 0, 0};
  append(out, number);
  base::JsonWriter json(out);
  write_source(json, source);
  return out;
}

base::Result<CaptureSource> decode_source(std::string_view payload, const FileHeader& header, uint32_t& number) {
  if (payload.size() < 8) return base::internal("a capture source record is too short");
  number = source_number(payload);
  TRY_SET(const base::json::value value, base::parse_json(payload.substr(8)));
  TRY_SET(const base::json::object* object, base::as_object(value, "source"));
  return read_source(*object, header);
}

std::string encode_footer(const Footer& footer) {
  std::string out(kFooterHead);
  base::JsonWriter json(out);
  json.begin_object()
      .field("requests", footer.requests)
      .field("first_us", footer.first_us)
      .field("last_us", footer.last_us)
      .field("first_id", prediction_id(footer.first_id))
      .field("last_id", prediction_id(footer.last_id))
      .key("sources")
      .begin_array();
  for (const CaptureSource& source : footer.sources) write_source(json, source);
  json.end_array().end_object();
  return out;
}

base::Result<Footer> decode_footer(std::string_view payload, const FileHeader& header) {
  if (payload.size() < 8 || payload[0] != kFooterFrame) return base::invalid("not a footer");
  TRY_SET(const base::json::value value, base::parse_json(payload.substr(8)));
  TRY_SET(const base::json::object* object, base::as_object(value, "footer"));
  Footer footer;
  TRY_SET(footer.requests, base::required_int(*object, "requests"));
  TRY_SET(footer.first_us, base::required_int(*object, "first_us"));
  TRY_SET(footer.last_us, base::required_int(*object, "last_us"));
  TRY_SET(footer.first_id, prediction(*object, "first_id"));
  TRY_SET(footer.last_id, prediction(*object, "last_id"));
  TRY_SET(const base::json::array* sources, base::required_array(*object, "sources"));
  for (const auto& entry : *sources) {
    TRY_SET(const base::json::object* source, base::as_object(entry, "source"));
    TRY_SET(CaptureSource decoded, read_source(*source, header));
    footer.sources.push_back(std::move(decoded));
  }
  return footer;
}

CaptureSource source_of(const CapturedRequest& request) {
  return {.project = request.project,
          .endpoint = request.endpoint,
          .revision = request.revision,
          .features = request.features,
          .text_features = request.text_features,
          .sample = request.sample,
          .redacted = request.redacted,
          .role = request.role,
          .routed = request.routed};
}

CaptureRecord record_of(const CapturedRequest& request) {
  return {.id = parse_prediction_id(request.id).value_or(base::Uuid{}),
          .client_id = request.client_id,
          .at_us = request.at_us,
          .duration_us = request.duration_us,
          .row_count = request.row_count,
          .rows = request.rows,
          .texts = request.texts,
          .labels = request.labels,
          .scores = request.scores,
          .route = request.route};
}

std::string encode_captured(const CapturedRequest& request) {
  const CaptureRecord record = record_of(request);
  std::string out(request_bytes(record), 0);
  encode_request(record, out.data());
  return out;
}

std::string pack_requests(std::span<const CapturedRequest> requests) {
  std::string out;
  std::vector<CaptureSource> sources;
  for (const CapturedRequest& request : requests) {
    CaptureSource source = source_of(request);
    const auto found = std::ranges::find(sources, source);
    const auto number = static_cast<uint32_t>(found - sources.begin());
    if (found == sources.end()) {
      append_frame(out, encode_source(number, source));
      sources.push_back(std::move(source));
    }
    std::string payload = encode_captured(request);
    set_source_number(payload.data(), number);
    append_frame(out, payload);
  }
  return out;
}

base::Result<std::vector<CapturedRequest>> unpack_requests(std::string_view bytes, const FileHeader& header) {
  std::vector<CapturedRequest> out;
  std::vector<CaptureSource> sources;
  while (!bytes.empty()) {
    const auto frame = next_frame(bytes);
    if (!frame) return base::invalid("captured requests are cut off or damaged");
    bytes.remove_prefix(frame->length);
    const std::string_view payload = frame->payload;
    if (payload[0] == kSourceFrame) {
      uint32_t number = 0;
      auto source = decode_source(payload, header, number);
      if (!source) return base::invalid(source.error().message);
      if (number != sources.size()) return base::invalid("a source of captured requests is out of order");
      sources.push_back(std::move(*source));
    } else if (payload[0] == kRequestFrame && payload.size() >= sizeof(RequestHead)) {
      const uint32_t number = source_number(payload);
      if (number >= sources.size()) return base::invalid("a captured request names an unknown source");
      auto request = decode_request(payload, sources[number]);
      if (!request) return base::invalid(request.error().message);
      out.push_back(std::move(*request));
    } else {
      return base::invalid("a frame among captured requests is neither a source nor a request");
    }
  }
  return out;
}

void append_frame(std::string& out, std::string_view payload) {
  append(out, static_cast<uint32_t>(payload.size()));
  append(out, base::crc32c(payload));
  out += payload;
}

std::string encode_trailer(uint64_t footer_offset) {
  std::string out;
  append(out, footer_offset);
  out += kClosed;
  return out;
}

std::optional<uint64_t> decode_trailer(std::string_view bytes) {
  if (bytes.size() != kTrailerBytes || bytes.substr(8) != kClosed) return std::nullopt;
  return load<uint64_t>(bytes.data());
}

std::optional<Frame> next_frame(std::string_view bytes, size_t* wanted) {
  if (wanted) *wanted = kFrameHead;
  if (bytes.size() < kFrameHead) return std::nullopt;
  const size_t size = load<uint32_t>(bytes.data());
  if (size == 0 || size > kMaxFrameBytes) return std::nullopt;
  if (wanted) *wanted = kFrameHead + size;
  if (bytes.size() < kFrameHead + size) return std::nullopt;
  const std::string_view payload = bytes.substr(kFrameHead, size);
  if (load<uint32_t>(bytes.data() + 4) != base::crc32c(payload)) {
    if (wanted) *wanted = 0;
    return std::nullopt;
  }
  return Frame{payload, kFrameHead + size};
}

}  // namespace serve::format

namespace serve {

uint16_t writer_of(const base::Uuid& id) { return format::parse_id(id).writer; }

std::string prediction_id(const base::Uuid& id) {
  std::string out;
  out.reserve(29);
  return out.append("pr_").append(base::to_base32(id));
}

std::optional<base::Uuid> parse_prediction_id(std::string_view text) {
  base::Uuid id;
  if (!text.starts_with("pr_") || !base::from_base32(text.substr(3), id)) return std::nullopt;
  return id;
}

}  // namespace serve
