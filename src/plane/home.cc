#include "plane/home.h"

#include <unistd.h>

#include <cstdio>

#include "base/ids.h"
#include "base/json.h"
#include "base/json_writer.h"

namespace plane {

base::Result<Home> Home::open(const base::Path& dir, const base::Clock& clock) {
  TRY(base::make_dirs(dir, 0700));
  TRY_SET(base::FileLock lock, base::FileLock::acquire(dir / "plane.lock", "process " + std::to_string(getpid())));
  Home home(dir, std::move(lock));
  const auto text = base::read_file(dir / "plane.json", 4096);
  if (!text) {
    if (text.error().code != base::Code::kNotFound) return std::unexpected(text.error());
    home.id_ = base::make_id("pn", base::system_random(), clock.wall_us());
    TRY(home.write());
    return home;
  }
  TRY_SET(const base::json::value value, base::parse_json(*text));
  TRY_SET(const base::json::object* object, base::as_object(value, "plane.json"));
  TRY_SET(home.id_, base::required_string(*object, "id"));
  TRY_SET(const auto writer, base::optional_int(*object, "writer"));
  if (writer) home.writer_ = static_cast<uint16_t>(*writer);
  return home;
}

base::Result<void> Home::write() const {
  std::string text;
  base::JsonWriter json(text);
  json.begin_object().field("id", id_);
  if (writer_) json.field("writer", *writer_);
  json.end_object();
  return base::write_file_durably(dir_ / "plane.json", text, 0600);
}

base::Result<void> Home::take_writer(uint16_t number) {
  if (writer_ == number) return {};
  if (writer_) {
    return base::fail(base::Code::kConflict,
                      "the control plane gives this plane the number " + std::to_string(number) + ", but " +
                          dir_.string() + " belongs to number " + std::to_string(*writer_) +
                          " of another control plane, or was forgotten there; use another folder (--dir)");
  }
  char text[8];
  std::snprintf(text, sizeof text, "%04x\n", static_cast<unsigned>(number));
  TRY(base::make_dirs(dir_ / "serve" / "capture"));
  TRY(base::write_file_durably(dir_ / "serve" / "capture" / "writer", text));
  writer_ = number;
  return write();
}

base::Result<std::optional<Snapshot>> Home::stored() const {
  const auto text = base::read_file(dir_ / "snapshot.json", kMaxSnapshot);
  if (!text) {
    if (text.error().code == base::Code::kNotFound) return std::nullopt;
    return std::unexpected(text.error());
  }
  TRY_SET(Snapshot snapshot, snapshot_of_json(*text));
  return snapshot;
}

base::Result<void> Home::save(const Snapshot& snapshot) const {
  return base::write_file_durably(dir_ / "snapshot.json", to_json(snapshot), 0600);
}

}  // namespace plane
