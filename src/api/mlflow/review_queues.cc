// Review queues and what is in them.
#include "traces/review_queues.h"

#include "api/mlflow/door.h"

namespace api::mlflow {

using base::JsonWriter;
using net::Method;
using store::Tx;

namespace {

constexpr std::string_view kTypes[] = {"REVIEW_QUEUE_TYPE_UNSPECIFIED", "USER", "CUSTOM"};
constexpr std::string_view kStatuses[] = {"REVIEW_STATUS_UNSPECIFIED", "PENDING", "COMPLETE", "DECLINED"};
constexpr std::string_view kItemTypes[] = {"REVIEW_ITEM_TYPE_UNSPECIFIED", "TRACE"};

std::string parse_id(Args& args) { return args.required_text("queue_id"); }

void write_texts(JsonWriter& out, std::string_view field, const std::vector<std::string>& texts) {
  if (texts.empty()) return;
  out.key(field).begin_array();
  for (const std::string& text : texts) out.value(text);
  out.end_array();
}

void write_queue(JsonWriter& out, const traces::ReviewQueue& queue) {
  out.begin_object().field("queue_id", queue.queue_id).field("experiment_id", std::to_string(queue.experiment));
  out.field("name", queue.name).field("queue_type", kTypes[static_cast<size_t>(queue.type)]);
  if (queue.created_by) out.field("created_by", *queue.created_by);
  out.field("creation_time_ms", queue.created_ms).field("last_update_time_ms", queue.updated_ms);
  write_texts(out, "users", queue.users);
  write_texts(out, "schema_ids", queue.schema_ids);
  out.end_object();
}

void render_queue(JsonWriter& out, const traces::ReviewQueue& queue) {
  out.key("review_queue");
  write_queue(out, queue);
}

void write_item(JsonWriter& out, const traces::ReviewItem& item) {
  out.begin_object().field("queue_id", item.queue_id).field("item_type", "TRACE").field("item_id", item.item_id);
  out.field("status", kStatuses[static_cast<size_t>(item.status)]);
  if (item.completed_by) out.field("completed_by", *item.completed_by);
  if (item.completed_ms) out.field("completed_time_ms", *item.completed_ms);
  out.field("creation_time_ms", item.created_ms).field("last_update_time_ms", item.updated_ms).end_object();
}

void write_items(JsonWriter& out, const std::vector<traces::ReviewItem>& items) {
  if (items.empty()) return;
  out.key("items").begin_array();
  for (const traces::ReviewItem& item : items) write_item(out, item);
  out.end_array();
}

traces::QueueUpdate parse_update(Args& args) {
  traces::QueueUpdate out;
  out.queue_id = parse_id(args);
  if (args.boolean("update_users").value_or(false)) out.users = args.texts("users");
  if (args.boolean("update_schema_ids").value_or(false)) out.schema_ids = args.texts("schema_ids");
  out.name = args.optional_text("name");
  out.owner = args.optional_text("new_owner");
  return out;
}

traces::QueueItems parse_items(Args& args) {
  traces::QueueItems out{parse_id(args), args.texts("item_ids")};
  (void)args.choice("item_type", kItemTypes, 0);  // traces are all there is
  return out;
}

traces::ReviewStatus parse_status(Args& args) {
  return static_cast<traces::ReviewStatus>(args.choice("status", kStatuses, 0).value_or(0));
}

void add_item_routes(Door& door) {
  door.write(Method::kPost, "review-queues/items/add", parse_items, traces::add_review_items, write_items);
  door.write(Method::kPost, "review-queues/items/remove", parse_items, traces::remove_review_items);
  door.read(
      Method::kGet, "review-queues/items/list",
      [](Args& args) {
        traces::ItemList out{parse_id(args), parse_status(args), 100, args.text("page_token")};
        if (const auto size = args.integer("max_results")) out.max_results = *size;
        return out;
      },
      traces::list_review_items,
      [](JsonWriter& out, const track::Page<traces::ReviewItem>& page) {
        write_items(out, page.rows);
        out.field("next_page_token", page.next_token);
      });
  door.write(
      Method::kPost, "review-queues/items/set-status",
      [](Args& args) {
        return traces::ItemStatus{parse_id(args), args.required_text("item_id"), parse_status(args),
                                  args.optional_text("completed_by")};
      },
      traces::set_review_item_status,
      [](JsonWriter& out, const traces::ReviewItem& item) {
        out.key("item");
        write_item(out, item);
      });
}

}  // namespace

void add_review_queue_routes(Door& door) {
  door.write(
      Method::kPost, "review-queues/create",
      [](Args& args) {
        return traces::NewReviewQueue{args.required_text("experiment_id"), args.required_text("name"),
                                      static_cast<traces::QueueType>(args.choice("queue_type", kTypes, 0).value_or(0)),
                                      args.texts("users"), args.texts("schema_ids")};
      },
      traces::create_review_queue, render_queue);
  door.write(
      Method::kPost, "review-queues/get-or-create-user",
      [](Args& args) { return traces::UserQueue{args.required_text("experiment_id"), args.required_text("user")}; },
      traces::get_or_create_user_queue, render_queue);
  door.point(
      Method::kGet, "review-queues/get", parse_id,
      [](Tx& tx, const std::string& id) { return traces::get_review_queue(tx, id); }, render_queue);
  door.point(
      Method::kGet, "review-queues/get-by-name",
      [](Args& args) { return traces::UserQueue{args.required_text("experiment_id"), args.required_text("name")}; },
      [](Tx& tx, const traces::UserQueue& in) {
        return traces::get_review_queue_by_name(tx, in.experiment_id, in.user);
      },
      render_queue);
  door.read(
      Method::kGet, "review-queues/list",
      [](Args& args) {
        traces::QueueList out;
        out.experiment_id = args.required_text("experiment_id");
        out.user = args.optional_text("user");
        out.item_id = args.optional_text("item_id");
        if (const auto size = args.integer("max_results")) out.max_results = *size;
        out.page_token = args.text("page_token");
        return out;
      },
      traces::list_review_queues,
      [](JsonWriter& out, const track::Page<traces::ReviewQueue>& page) {
        if (!page.rows.empty()) {
          out.key("review_queues").begin_array();
          for (const traces::ReviewQueue& queue : page.rows) write_queue(out, queue);
          out.end_array();
        }
        out.field("next_page_token", page.next_token);
      });
  door.write(Method::kPost, "review-queues/update", parse_update, traces::update_review_queue, render_queue);
  door.write(Method::kPost, "review-queues/delete", parse_id,
             [](Tx& tx, const std::string& id) { return traces::delete_review_queue(tx, id); });
  add_item_routes(door);
}

}  // namespace api::mlflow
