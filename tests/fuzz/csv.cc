// CSV: the reader, the table and its way back.
#include "fuzz.h"
#include "stats/table.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  stats::CsvReader reader(text);
  std::vector<std::string_view> fields;
  size_t before = 0;
  for (size_t records = 0;; ++records) {
    REQUIRE(records <= size + 1);  // it always gets on
    const auto more = reader.next(fields);
    if (more && !*more) break;
    REQUIRE(reader.line() >= before);
    before = reader.line();
    if (!more) continue;
    for (size_t i = 0; i < fields.size(); ++i) (void)reader.quoted(i);
    REQUIRE(reader.record().data() >= text.data() &&
            reader.record().data() + reader.record().size() <= text.data() + text.size());
  }
  const auto table = stats::parse_csv(text);
  if (!table) return 0;
  for (const auto& column : table->columns) REQUIRE(column.size() == table->rows());
  const std::string written = stats::to_csv(*table);
  const auto again = stats::parse_csv(written);
  REQUIRE(again);
  REQUIRE(stats::to_csv(*again) == written);
  return 0;
}
