// lathe capture export: captured requests in other tools' formats.
//   sagemaker    JSON lines as SageMaker's data capture writes them: captureData, eventMetadata, eventVersion "0"; CSV
//   cloudevents  KServe's logger: one CloudEvent for the request and one for the response, JSON lines, structured mode
//   parquet      one row per captured row: id, row, at, revision, features, prediction, score, label
// Redacted columns were never written and are in none of them. Thread: one.
#pragma once

#include <string>

#include "cli/command.h"

namespace cli {

struct ExportOptions {
  std::string endpoint, format, output;
};
void export_capture(const Common& common, const ExportOptions& options);

}  // namespace cli
