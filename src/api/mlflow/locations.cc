#include "api/mlflow/locations.h"

#include <algorithm>
#include <array>
#include <boost/regex.hpp>
#include <optional>

namespace api::mlflow {

namespace {

constexpr std::array<std::string_view, 10> kHostSchemes = {
    "ftp", "sftp", "hdfs", "viewfs", "http", "https", "mlflow-artifacts", "r2", "b2", "abfss"};
constexpr size_t kMaxSource = 5000;  // characters that the operator's expression is tried on

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

class Policy final : public LocationPolicy {
 public:
  Policy(const Options& options, std::optional<boost::regex> source)
      : allowed_(options.allowed_schemes), source_(std::move(source)) {}

  base::Result<void> check_scheme(std::string_view uri, std::string_view field) const override {
    const size_t colon = uri.find(':');
    if (colon == uri.npos) return {};
    const std::string scheme = lower(uri.substr(0, colon));
    if (std::ranges::find(kHostSchemes, scheme) == kHostSchemes.end()) return {};
    std::string_view rest = uri.substr(colon + 1);
    const bool has_host = rest.starts_with("//") && rest.size() > 2 && rest[2] != '/';
    if (scheme == "mlflow-artifacts" && !has_host) return {};  // this server itself
    if (std::ranges::find(allowed_, scheme) != allowed_.end()) return {};
    return base::invalid("'" + std::string(field) + "' cannot use the '" + scheme + "' scheme: the '" + scheme +
                         "' scheme addresses a host other than the tracking server's configured artifact storage. Set "
                         "the MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES environment variable on the server to "
                         "allow it.");
  }

  base::Result<void> check_source(const std::string& source) const override {
    if (!source_ || source.empty()) return {};
    bool matches = false;
    try {
      matches = source.size() <= kMaxSource && boost::regex_search(source, *source_);
    } catch (const std::runtime_error&) {  // the expression would take for ever
    }
    if (matches) return {};
    return base::invalid("Invalid model version source: '" + source + "'.");
  }

 private:
  const std::vector<std::string> allowed_;
  const std::optional<boost::regex> source_;
};

}  // namespace

base::Result<std::shared_ptr<const LocationPolicy>> LocationPolicy::make(const Options& options) {
  std::optional<boost::regex> source;
  if (!options.source_regex.empty()) {
    try {
      source.emplace(options.source_regex, boost::regex::perl);
    } catch (const boost::regex_error& error) {
      return base::invalid("MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX is '" + options.source_regex +
                           "', which is no regular expression: " + error.what());
    }
  }
  return std::make_shared<const Policy>(options, std::move(source));
}

}  // namespace api::mlflow
