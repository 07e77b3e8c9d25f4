// What MLflow's database holds beside runs, models and traces: evaluation data sets and their records, scorers, label
// schemas, review queues, issues and webhooks. A revision that has no such table has none. Thread: as SourceTables.
#pragma once

#include <string>
#include <vector>

#include "cli/import_source.h"
#include "cli/source_tables.h"

namespace cli {

std::vector<SourceDataset> read_datasets(const SourceTables& tables);
// Of one data set, in the order of their ids, at most `limit` after `after`.
std::vector<traces::EvalRecord> read_records(const SourceTables& tables, const std::string& dataset,
                                             const std::string& after, size_t limit);
std::vector<std::vector<traces::Scorer>> read_scorers(const SourceTables& tables);  // the versions of each
std::vector<traces::ImportedLabelSchema> read_label_schemas(const SourceTables& tables);
std::vector<traces::ImportedReviewQueue> read_review_queues(const SourceTables& tables);
std::vector<traces::Issue> read_issues(const SourceTables& tables);
std::vector<hooks::Hook> read_webhooks(const SourceTables& tables);

}  // namespace cli
