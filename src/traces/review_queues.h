// Review queues: traces that people are to look at, with the questions they answer. A user's own queue has his name and
// all questions of the experiment; a custom one has chosen reviewers and questions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "track/types.h"

namespace traces {

inline constexpr size_t kQueueNameChars = 250, kReviewerChars = 250, kReviewers = 10, kQueueSchemas = 100;
inline constexpr size_t kQueueItems = 10'000;  // of one request
inline constexpr int64_t kQueuePage = 1000;

enum class QueueType : uint8_t { kUnspecified, kUser, kCustom };
enum class ReviewStatus : uint8_t { kUnspecified, kPending, kComplete, kDeclined };

struct ReviewQueue {
  int64_t row = 0;
  std::string queue_id;  // "rq-<32 hex>"
  int64_t experiment = 0;
  std::string name;
  QueueType type = QueueType::kCustom;
  std::optional<std::string> created_by;
  int64_t created_ms = 0, updated_ms = 0;
  std::vector<std::string> users, schema_ids;  // sorted
};

struct NewReviewQueue {
  std::string experiment_id, name;
  QueueType type = QueueType::kUnspecified;
  std::vector<std::string> users, schema_ids;
};
base::Result<ReviewQueue> create_review_queue(store::Tx& tx, const NewReviewQueue& queue);
struct UserQueue {
  std::string experiment_id, user;
};
base::Result<ReviewQueue> get_or_create_user_queue(store::Tx& tx, const UserQueue& queue);
base::Result<ReviewQueue> get_review_queue(store::Tx& tx, std::string_view queue_id);
base::Result<ReviewQueue> get_review_queue_by_name(store::Tx& tx, std::string_view experiment_id,
                                                   std::string_view name);
struct QueueList {
  std::string experiment_id;
  std::optional<std::string> user, item_id;  // only those that this user reviews, that hold this trace
  int64_t max_results = 100;
  std::string page_token;
};
base::Result<track::Page<ReviewQueue>> list_review_queues(store::Tx& tx, const QueueList& list);  // newest first
struct QueueUpdate {
  std::string queue_id;
  std::optional<std::vector<std::string>> users, schema_ids;  // questions: only while nothing is in the queue
  std::optional<std::string> name, owner;
};
base::Result<ReviewQueue> update_review_queue(store::Tx& tx, const QueueUpdate& update);
base::Result<void> delete_review_queue(store::Tx& tx, std::string_view queue_id);  // gone already: nothing to do

struct ReviewItem {
  std::string queue_id, item_id;
  ReviewStatus status = ReviewStatus::kPending;
  std::optional<std::string> completed_by;
  std::optional<int64_t> completed_ms;
  int64_t created_ms = 0, updated_ms = 0;
};
struct QueueItems {
  std::string queue_id;
  std::vector<std::string> item_ids;  // traces of the queue's experiment
};
base::Result<std::vector<ReviewItem>> add_review_items(store::Tx& tx, const QueueItems& items);
base::Result<void> remove_review_items(store::Tx& tx, const QueueItems& items);
// A queue with what is in it, as another server has it; false: it is here, and stays as it is.
struct ImportedReviewQueue {
  ReviewQueue queue;
  std::vector<ReviewItem> items;
};
base::Result<bool> import_review_queue(store::Tx& tx, const ImportedReviewQueue& imported);
struct ItemList {
  std::string queue_id;
  ReviewStatus status = ReviewStatus::kUnspecified;  // any
  int64_t max_results = 100;
  std::string page_token;
};
base::Result<track::Page<ReviewItem>> list_review_items(store::Tx& tx, const ItemList& list);
struct ItemStatus {
  std::string queue_id, item_id;
  ReviewStatus status = ReviewStatus::kUnspecified;
  std::optional<std::string> completed_by;  // of a caller who is known: always himself
};
base::Result<ReviewItem> set_review_item_status(store::Tx& tx, const ItemStatus& change);

// Who calls, where that is a person or a service that the server knows; and a name as it stands among a queue's users.
std::optional<std::string> caller(const store::Tx& tx);
std::string reviewer_name(std::string_view user);

}  // namespace traces
