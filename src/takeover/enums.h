// Which values of the enumerations in packed questions are known (base/pack.h).
#pragma once

#include "traces/assessments.h"
#include "traces/label_schemas.h"
#include "traces/review_queues.h"
#include "track/models.h"
#include "track/runs.h"

namespace track {
inline bool known_enum(RunStatus status) { return status >= RunStatus::kRunning && status <= RunStatus::kKilled; }
inline bool known_enum(ModelStatus status) { return status <= ModelStatus::kUploadFailed; }
}  // namespace track

namespace traces {
inline bool known_enum(AssessmentKind kind) { return kind <= AssessmentKind::kIssue; }
inline bool known_enum(LabelInput::Kind kind) { return kind <= LabelInput::Kind::kText; }
inline bool known_enum(QueueType type) { return type <= QueueType::kCustom; }
inline bool known_enum(ReviewStatus status) { return status <= ReviewStatus::kDeclined; }
}  // namespace traces
