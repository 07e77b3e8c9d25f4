#include "api/mlflow/media_type.h"

#include <algorithm>
#include <array>

#include "net/http.h"
#include "net/text.h"

namespace api::mlflow {

namespace {

struct Ending {
  std::string_view ending;
  std::string_view type;
};

constexpr std::array kEndings = {
    Ending{"bmp", "image/bmp"},         Ending{"css", "text/css"},        Ending{"csv", "text/csv"},
    Ending{"gif", "image/gif"},         Ending{"gz", "application/gzip"}, Ending{"htm", "text/html"},
    Ending{"html", "text/html"},        Ending{"jpeg", "image/jpeg"},     Ending{"jpg", "image/jpeg"},
    Ending{"js", "text/javascript"},    Ending{"mp3", "audio/mpeg"},      Ending{"mp4", "video/mp4"},
    Ending{"pdf", "application/pdf"},   Ending{"png", "image/png"},       Ending{"svg", "image/svg+xml"},
    Ending{"tar", "application/x-tar"}, Ending{"tif", "image/tiff"},      Ending{"tiff", "image/tiff"},
    Ending{"wav", "audio/x-wav"},       Ending{"webm", "video/webm"},     Ending{"webp", "image/webp"},
    Ending{"xml", "application/xml"},   Ending{"zip", "application/zip"}};

constexpr std::array<std::string_view, 15> kText = {"txt",        "log",  "err",   "cfg",  "conf", "cnf", "cf", "ini",
                                                    "properties", "prop", "hocon", "toml", "yaml", "yml", "md"};
constexpr std::array<std::string_view, 7> kMoreText = {"json", "py", "ipynb", "xsd", "tsv", "MLmodel", "MLproject"};

}  // namespace

std::string_view media_type(std::string_view file_name) {
  const size_t dot = file_name.rfind('.');
  std::string ending(dot == file_name.npos ? file_name : file_name.substr(dot + 1));
  if (std::ranges::find(kMoreText, ending) != kMoreText.end()) return "text/plain";
  std::ranges::transform(ending, ending.begin(), net::ascii_lower);
  const auto found = std::ranges::find(kEndings, ending, &Ending::ending);
  if (found != kEndings.end()) return found->type;
  if (std::ranges::find(kText, ending) != kText.end()) return "text/plain";
  return "application/octet-stream";
}

bool runs_scripts(std::string_view type) {
  return type == "text/html" || type == "image/svg+xml" || type == "application/xml";
}

std::string attachment_header(std::string_view name) {
  std::string plain;
  bool ascii = true;
  for (const char c : name) {
    ascii &= static_cast<unsigned char>(c) < 0x80;
    if (static_cast<unsigned char>(c) >= 0x80 || static_cast<unsigned char>(c) < 0x20) continue;
    if (c == '"' || c == '\\') plain += '\\';
    plain += c;
  }
  if (plain.empty()) plain = "download";
  std::string out = "attachment; filename=\"" + plain + "\"";
  if (!ascii) out += "; filename*=UTF-8''" + net::percent_encode(name);
  return out;
}

}  // namespace api::mlflow
