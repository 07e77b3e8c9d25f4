// Triton's model configuration as config.pbtxt or as a load request brings it: what passes the checks is written, and
// can be read again.
#include "repository/config.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const auto& read : {repository::read_config(bytes, "config.pbtxt"), repository::read_config_json(bytes)}) {
    if (!read) continue;
    (void)repository::not_acted_on(read->config, {});
    if (!repository::check_config(read->config, "model")) continue;
    std::string text;
    base::JsonWriter json(text);
    repository::write_config(json, read->config);
    REQUIRE(repository::read_config_json(text).has_value());
  }
  return 0;
}
