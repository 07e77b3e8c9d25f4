// The rules that names and values of MLflow obey, with upstream's own words where clients match on them.
// Lengths count characters (code points), not bytes. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "track/types.h"

namespace track {

// Limits, in characters.
inline constexpr size_t kMaxKey = 250;
inline constexpr size_t kMaxParamValue = 6000;  // longer: truncated
inline constexpr size_t kMaxTagValue = 8000;    // longer: truncated
inline constexpr size_t kMaxExperimentName = 500;
inline constexpr size_t kMaxExperimentTagValue = 20000;
inline constexpr size_t kMaxRegistryTagValue = 100'000;
inline constexpr size_t kMaxAlias = 255;
inline constexpr size_t kMaxArtifactLocation = 2048;
inline constexpr size_t kMaxDatasetName = 500;
inline constexpr size_t kMaxDatasetDigest = 36;
inline constexpr size_t kMaxDatasetSource = 65535;
inline constexpr size_t kMaxDatasetSchema = 1048575;
inline constexpr size_t kMaxDatasetProfile = 16777215;
inline constexpr size_t kMaxInputTagKey = 255;
inline constexpr size_t kMaxInputTagValue = 500;
inline constexpr size_t kMaxBatchMetrics = 1000;
inline constexpr size_t kMaxBatchParams = 100;
inline constexpr size_t kMaxBatchTags = 100;
inline constexpr size_t kMaxBatchTotal = 1000;

size_t count_chars(std::string_view utf8);
std::string_view first_chars(std::string_view utf8, size_t chars);

std::string python_repr(std::string_view text);  // 'text', as upstream shows a value in a message
std::unexpected<base::Error> invalid_value(std::string_view path, std::string_view value, std::string_view hint);
std::unexpected<base::Error> missing_value(std::string_view path);

// Keys of metrics, params and tags: letters, digits, / _ . - space and colon, and a normal path.
base::Result<void> check_key(std::string_view key, std::string_view path);
base::Result<void> check_length(std::string_view what, size_t limit, std::string_view value);
base::Result<void> check_run_id(std::string_view run_id);
base::Result<void> check_experiment_name(std::string_view name);
base::Result<void> check_experiment_tag(const Tag& tag);
base::Result<void> check_model_name(std::string_view name);         // registered models
base::Result<void> check_logged_model_name(std::string_view name);  // logged models
base::Result<void> check_registered_tag(const Tag& tag);
base::Result<void> check_alias(std::string_view alias);
base::Result<void> check_alias_not_reserved(std::string_view alias);
base::Result<void> check_artifact_location(std::string_view location, std::string_view field);
base::Result<int64_t> parse_experiment_id(std::string_view text);
base::Result<int64_t> parse_version(std::string_view text);

}  // namespace track
