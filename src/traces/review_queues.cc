#include "traces/review_queues.h"

#include <algorithm>

#include "core/audit.h"
#include "core/event.h"
#include "traces/label_schemas.h"
#include "track/experiments.h"
#include "track/page_token.h"
#include "track/search_sql.h"
#include "track/validate.h"

namespace traces {

using base::invalid;
using base::not_found;
using base::Result;
using track::python_repr;
using track::Value;

namespace {

constexpr std::string_view kColumns =
    "q.id, q.queue_id, q.exp, q.name, q.type, q.created_by, q.created_ms, q.updated_ms";
constexpr int kColumnCount = 8;
constexpr std::string_view kItemColumns =
    "i.item_id, i.status, i.completed_by, i.completed_ms, i.created_ms, i.updated_ms";

std::string trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n\v\f");
  if (first == text.npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t\r\n\v\f") + 1 - first));
}

std::string lower(std::string text) {  // ASCII: other scripts' cases stay apart
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return text;
}

std::string user_of(std::string_view user) { return lower(trimmed(user)); }

Result<void> check_text(const std::string& text, std::string_view field, size_t most) {
  if (text.empty()) return invalid("`" + std::string(field) + "` must be a non-empty string; got ''.");
  if (const size_t chars = track::count_chars(text); chars > most) {
    return invalid("`" + std::string(field) + "` must be at most " + std::to_string(most) + " characters; got " +
                   std::to_string(chars) + ".");
  }
  return {};
}

void add_once(std::vector<std::string>& out, std::string text) {
  if (std::ranges::find(out, text) == out.end()) out.push_back(std::move(text));
}

Result<std::vector<std::string>> checked_users(const std::vector<std::string>& users) {
  std::vector<std::string> out;
  for (const std::string& user : users) {
    std::string name = user_of(user);
    TRY(check_text(name, "user", kReviewerChars));
    add_once(out, std::move(name));
    if (out.size() > kReviewers) {
      return invalid("A review queue can have at most " + std::to_string(kReviewers) + " assigned users; got " +
                     std::to_string(users.size()) + ".");
    }
  }
  return out;
}

Result<std::vector<std::string>> checked_schemas(store::Tx& tx, int64_t experiment,
                                                 const std::vector<std::string>& ids) {
  std::vector<std::string> out;
  for (const std::string& id : ids) {
    std::string schema = trimmed(id);
    TRY(check_text(schema, "schema_id", 36));
    add_once(out, std::move(schema));
    if (out.size() > kQueueSchemas) {
      return invalid("A review queue can have at most " + std::to_string(kQueueSchemas) + " questions");
    }
  }
  TRY_SET(const auto unknown, unknown_schemas(tx, experiment, out));
  if (unknown.empty()) return out;
  std::string listed;
  for (const std::string& id : unknown) listed.append(listed.empty() ? "" : ", ").append(python_repr(id));
  return invalid("Label schema id(s) [" + listed + "] not found for experiment '" + std::to_string(experiment) + "'.");
}

Result<std::vector<std::string>> checked_items(const std::vector<std::string>& ids) {
  if (ids.empty()) return invalid("`item_ids` must be a non-empty list; got [].");
  if (ids.size() > kQueueItems)
    return invalid("At most " + std::to_string(kQueueItems) + " items can be named at once");
  std::vector<std::string> out;
  out.reserve(ids.size());
  for (const std::string& id : ids) {
    out.push_back(trimmed(id));
    TRY(check_text(out.back(), "item_id", 250));
  }
  std::vector<std::string> sorted = out;  // each once, in the order of the first
  std::ranges::sort(sorted);
  if (std::ranges::adjacent_find(sorted) == sorted.end()) return out;
  std::vector<std::string> unique;
  for (std::string& id : out) {
    const auto at = std::ranges::lower_bound(sorted, id);
    if (at == sorted.end() || *at != id) continue;
    sorted.erase(at, std::ranges::upper_bound(sorted, id));
    unique.push_back(std::move(id));
  }
  return unique;
}

Result<std::string> checked_name(std::string_view given) {
  std::string name = trimmed(given);
  TRY(check_text(name, "name", kQueueNameChars));
  if (lower(name) == "default") {
    return invalid("`" + name + "` is a reserved queue name and cannot be used for a custom queue.");
  }
  return name;
}

std::unexpected<base::Error> taken(const std::string& name) {
  return base::fail(base::Code::kAlreadyExists,
                    "Review queue with name '" + name + "' already exists (names are case-insensitive).");
}

ReviewQueue read(store::Rows& rows) {
  ReviewQueue out;
  out.row = rows.i64(0);
  out.queue_id = rows.str(1);
  out.experiment = rows.i64(2);
  out.name = rows.str(3);
  out.type = static_cast<QueueType>(rows.i64(4));
  out.created_by = rows.opt_str(5);
  out.created_ms = rows.i64(6);
  out.updated_ms = rows.i64(7);
  return out;
}

void load(store::Tx& tx, ReviewQueue& queue) {
  {
    auto rows = tx.query("SELECT user_id FROM review_queue_users WHERE project = ? AND queue = ? ORDER BY user_id",
                         tx.project(), queue.row);
    while (rows.next()) queue.users.push_back(rows.str(0));
  }
  auto rows = tx.query("SELECT schema_id FROM review_queue_schemas WHERE project = ? AND queue = ? ORDER BY schema_id",
                       tx.project(), queue.row);
  while (rows.next()) queue.schema_ids.push_back(rows.str(0));
}

void put_users(store::Tx& tx, int64_t queue, const std::vector<std::string>& users) {
  tx.exec("DELETE FROM review_queue_users WHERE project = ? AND queue = ?", tx.project(), queue);
  for (const std::string& user : users) {
    tx.exec("INSERT INTO review_queue_users (project, queue, user_id) VALUES (?, ?, ?)", tx.project(), queue, user);
  }
}

void put_schemas(store::Tx& tx, int64_t queue, const std::vector<std::string>& ids) {
  tx.exec("DELETE FROM review_queue_schemas WHERE project = ? AND queue = ?", tx.project(), queue);
  for (const std::string& id : ids) {
    tx.exec("INSERT INTO review_queue_schemas (project, queue, schema_id) VALUES (?, ?, ?)", tx.project(), queue, id);
  }
}

ReviewItem read_item(store::Rows& rows, const std::string& queue_id) {
  ReviewItem out;
  out.queue_id = queue_id;
  out.item_id = rows.str(0);
  out.status = static_cast<ReviewStatus>(rows.i64(1));
  out.completed_by = rows.opt_str(2);
  out.completed_ms = rows.opt_i64(3);
  out.created_ms = rows.i64(4);
  out.updated_ms = rows.i64(5);
  return out;
}

std::optional<ReviewItem> find_item(store::Tx& tx, const ReviewQueue& queue, std::string_view item_id) {
  auto rows = tx.query("SELECT " + std::string(kItemColumns) +
                           " FROM review_queue_items i WHERE i.project = ? AND i.queue = ? AND i.item_id = ?",
                       tx.project(), queue.row, item_id);
  if (!rows.next()) return std::nullopt;
  return read_item(rows, queue.queue_id);
}

Result<int64_t> page_size(int64_t asked) {
  if (asked >= 1 && asked <= kQueuePage) return asked;
  return invalid("max_results must be between 1 and " + std::to_string(kQueuePage) + ".");
}

std::string_view word(ReviewStatus status) {
  return status == ReviewStatus::kComplete ? "complete" : status == ReviewStatus::kDeclined ? "declined" : "pending";
}

}  // namespace

std::optional<std::string> caller(const store::Tx& tx) {
  const base::Actor& actor = tx.ctx().actor;
  if (actor.kind != base::ActorKind::kUser && actor.kind != base::ActorKind::kService) return std::nullopt;
  const size_t colon = actor.name.find(':');
  return colon == actor.name.npos ? actor.name : actor.name.substr(colon + 1);
}

std::string reviewer_name(std::string_view user) { return user_of(user); }

Result<ReviewQueue> create_review_queue(store::Tx& tx, const NewReviewQueue& given) {
  if (given.type == QueueType::kUnspecified) {
    return invalid("`queue_type` must be one of USER or CUSTOM; got proto enum value 0.");
  }
  TRY_SET(std::vector<std::string> users, checked_users(given.users));
  TRY_SET(const track::Experiment experiment, track::active_experiment(tx, given.experiment_id));
  TRY_SET(const std::vector<std::string> schemas, checked_schemas(tx, experiment.id, given.schema_ids));
  std::string name;
  if (given.type == QueueType::kUser) {
    name = user_of(given.name);
    TRY(check_text(name, "name", kQueueNameChars));
    if (users.empty()) users.push_back(name);
    if (users.size() != 1 || users[0] != name) {
      return invalid(
          "A user queue must have exactly one assigned user equal to its name; got name=" + python_repr(name) + ".");
    }
    if (!schemas.empty()) {
      return invalid(
          "A user queue cannot have explicitly-attached schemas; it resolves to all of the experiment's "
          "label schemas.");
    }
  } else {
    TRY_SET(name, checked_name(given.name));
  }
  const auto owner = given.type == QueueType::kUser ? std::optional(name) : caller(tx);
  const std::string id = "rq-" + tx.ctx().new_hex32();
  const int64_t made = tx.exec(
      "INSERT INTO review_queues (project, queue_id, exp, name, name_key, type, created_by, created_ms, updated_ms) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, exp, name_key) DO NOTHING",
      tx.project(), id, experiment.id, name, lower(name), static_cast<int64_t>(given.type), owner, track::now_ms(tx),
      track::now_ms(tx));
  TRY(tx.status());
  if (made == 0) return taken(name);
  TRY_SET(const ReviewQueue queue, get_review_queue(tx, id));
  put_users(tx, queue.row, users);
  put_schemas(tx, queue.row, schemas);
  core::emit(tx, "review_queue.created", "review_queue", id);
  return get_review_queue(tx, id);
}

Result<ReviewQueue> get_or_create_user_queue(store::Tx& tx, const UserQueue& given) {
  const std::string name = user_of(given.user);
  auto found = get_review_queue_by_name(tx, given.experiment_id, name);
  if (!found && found.error().code == base::Code::kNotFound && found.error().message.starts_with("Review queue")) {
    return create_review_queue(tx, {given.experiment_id, name, QueueType::kUser, {}, {}});
  }
  if (found && found->type != QueueType::kUser) {
    return base::fail(base::Code::kAlreadyExists, "A non-user queue named '" + name +
                                                      "' already exists; cannot get-or-create a user queue with that "
                                                      "name.");
  }
  return found;
}

Result<ReviewQueue> get_review_queue(store::Tx& tx, std::string_view queue_id) {
  std::optional<ReviewQueue> found;
  {
    auto rows =
        tx.query("SELECT " + std::string(kColumns) + " FROM review_queues q WHERE q.project = ? AND q.queue_id = ?",
                 tx.project(), queue_id);
    if (rows.next()) found = read(rows);
  }
  TRY(tx.status());
  if (!found) return not_found("Review queue with id '" + std::string(queue_id) + "' not found.");
  load(tx, *found);
  return std::move(*found);
}

Result<ReviewQueue> get_review_queue_by_name(store::Tx& tx, std::string_view experiment_id, std::string_view name) {
  TRY_SET(const track::Experiment experiment, track::active_experiment(tx, experiment_id));
  std::optional<ReviewQueue> found;
  {
    auto rows = tx.query("SELECT " + std::string(kColumns) +
                             " FROM review_queues q WHERE q.project = ? AND q.exp = ? AND q.name_key = ?",
                         tx.project(), experiment.id, lower(std::string(name)));
    if (rows.next()) found = read(rows);
  }
  TRY(tx.status());
  if (!found) {
    return not_found("Review queue with name '" + std::string(name) + "' not found for experiment '" +
                     std::string(experiment_id) + "'.");
  }
  load(tx, *found);
  return std::move(*found);
}

Result<track::Page<ReviewQueue>> list_review_queues(store::Tx& tx, const QueueList& list) {
  TRY_SET(const int64_t size, page_size(list.max_results));
  TRY_SET(const track::Experiment experiment, track::active_experiment(tx, list.experiment_id));
  const std::string text =
      "review queues\n" + list.experiment_id + "\n" + list.user.value_or("") + "\n" + list.item_id.value_or("");
  track::PageQuery query;
  query.columns = kColumns;
  query.column_count = kColumnCount;
  query.from.add("FROM review_queues q");
  query.where.add("q.project = ").bind(Value::of(tx.project())).add(" AND q.exp = ").bind(Value::of(experiment.id));
  if (list.user) {
    query.where
        .add(
            " AND EXISTS (SELECT 1 FROM review_queue_users u WHERE u.project = q.project AND u.queue = q.id "
            "AND u.user_id = ")
        .bind(Value::of(user_of(*list.user)))
        .add(")");
  }
  if (list.item_id) {
    query.where
        .add(
            " AND EXISTS (SELECT 1 FROM review_queue_items i WHERE i.project = q.project AND i.queue = q.id "
            "AND i.item_id = ")
        .bind(Value::of(*list.item_id))
        .add(")");
  }
  query.order = {{"q.created_ms", false, Value::Type::kInt}, {"q.queue_id", true, Value::Type::kText}};
  TRY_SET(const track::PageToken token, track::decode_page_token(text, list.page_token));
  TRY(track::check_token(token.after, query.order));
  query.after = token.after;
  query.offset = token.offset;
  query.limit = size;
  track::Page<ReviewQueue> page;
  const track::PageEnd end = track::run_page(tx, query, [&](store::Rows& rows) { page.rows.push_back(read(rows)); });
  TRY(tx.status());
  if (end.more) page.next_token = track::encode_page_token(text, end.last);
  for (ReviewQueue& queue : page.rows) load(tx, queue);
  return page;
}

Result<ReviewQueue> update_review_queue(store::Tx& tx, const QueueUpdate& update) {
  tx.lock("review_queue", update.queue_id);
  TRY_SET(const ReviewQueue queue, get_review_queue(tx, update.queue_id));
  if (queue.type == QueueType::kUser) {
    return invalid("A user queue's name, assigned user, schemas, and owner are fixed and cannot be updated.");
  }
  if (!update.users && !update.schema_ids && !update.name && !update.owner) return queue;
  if (update.owner) {
    const std::string owner = trimmed(*update.owner);
    TRY(check_text(owner, "new_owner", kReviewerChars));
    tx.exec("UPDATE review_queues SET created_by = ? WHERE project = ? AND id = ?", owner, tx.project(), queue.row);
  }
  if (update.name) {
    TRY_SET(const std::string name, checked_name(*update.name));
    const auto other = tx.query_i64("SELECT id FROM review_queues WHERE project = ? AND exp = ? AND name_key = ?",
                                    tx.project(), queue.experiment, lower(name));
    if (other && *other != queue.row) return taken(name);
    tx.exec("UPDATE review_queues SET name = ?, name_key = ? WHERE project = ? AND id = ?", name, lower(name),
            tx.project(), queue.row);
  }
  if (update.users) {
    TRY_SET(const auto users, checked_users(*update.users));
    put_users(tx, queue.row, users);
  }
  if (update.schema_ids) {
    const auto items = tx.query_i64("SELECT COUNT(*) FROM review_queue_items WHERE project = ? AND queue = ?",
                                    tx.project(), queue.row);
    if (items.value_or(0) > 0) {
      return invalid(
          "A review queue's questions are locked once items are assigned to it. Remove the items before "
          "changing its questions.");
    }
    TRY_SET(const auto schemas, checked_schemas(tx, queue.experiment, *update.schema_ids));
    put_schemas(tx, queue.row, schemas);
  }
  tx.exec("UPDATE review_queues SET updated_ms = ? WHERE project = ? AND id = ?", track::now_ms(tx), tx.project(),
          queue.row);
  core::emit(tx, "review_queue.updated", "review_queue", update.queue_id);
  return get_review_queue(tx, update.queue_id);
}

Result<void> delete_review_queue(store::Tx& tx, std::string_view queue_id) {
  const auto row =
      tx.query_i64("SELECT id FROM review_queues WHERE project = ? AND queue_id = ?", tx.project(), queue_id);
  if (!row) return tx.status();
  for (const std::string_view sql : {"DELETE FROM review_queue_users WHERE project = ? AND queue = ?",
                                     "DELETE FROM review_queue_schemas WHERE project = ? AND queue = ?",
                                     "DELETE FROM review_queue_items WHERE project = ? AND queue = ?",
                                     "DELETE FROM review_queues WHERE project = ? AND id = ?"}) {
    tx.exec(sql, tx.project(), *row);
  }
  core::emit(tx, "review_queue.deleted", "review_queue", queue_id);
  core::audit(tx, "review_queue.deleted", "review_queue", queue_id);
  return tx.status();
}

Result<std::vector<ReviewItem>> add_review_items(store::Tx& tx, const QueueItems& items) {
  TRY_SET(const auto ids, checked_items(items.item_ids));
  tx.lock("review_queue", items.queue_id);
  TRY_SET(const ReviewQueue queue, get_review_queue(tx, items.queue_id));
  std::string strangers;
  for (const std::string& id : ids) {
    const auto trace = tx.query_i64("SELECT id FROM traces WHERE project = ? AND trace_id = ? AND exp = ?",
                                    tx.project(), id, queue.experiment);
    if (!trace) strangers.append(strangers.empty() ? "" : ", ").append(python_repr(id));
  }
  if (!strangers.empty()) {
    return not_found("Cannot attach trace(s) [" + strangers + "] to review queue '" + items.queue_id +
                     "': they do not exist in experiment '" + std::to_string(queue.experiment) + "'.");
  }
  std::vector<ReviewItem> out;
  for (const std::string& id : ids) {
    tx.exec(
        "INSERT INTO review_queue_items (project, queue, item_id, status, created_ms, updated_ms) "
        "VALUES (?, ?, ?, 1, ?, ?) ON CONFLICT (project, queue, item_id) DO NOTHING",
        tx.project(), queue.row, id, track::now_ms(tx), track::now_ms(tx));
    if (auto item = find_item(tx, queue, id)) out.push_back(std::move(*item));
  }
  core::emit(tx, "review_queue.filled", "review_queue", items.queue_id);
  TRY(tx.status());
  return out;
}

Result<bool> import_review_queue(store::Tx& tx, const ImportedReviewQueue& imported) {
  const ReviewQueue& queue = imported.queue;
  const int64_t made = tx.exec(
      "INSERT INTO review_queues (project, queue_id, exp, name, name_key, type, created_by, created_ms, updated_ms) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
      tx.project(), queue.queue_id, queue.experiment, queue.name, lower(queue.name), static_cast<int64_t>(queue.type),
      queue.created_by, queue.created_ms, queue.updated_ms);
  TRY(tx.status());
  if (made == 0) return false;
  TRY_SET(const ReviewQueue here, get_review_queue(tx, queue.queue_id));
  put_users(tx, here.row, queue.users);
  put_schemas(tx, here.row, queue.schema_ids);
  for (const ReviewItem& item : imported.items) {
    tx.exec(
        "INSERT INTO review_queue_items (project, queue, item_id, status, completed_by, completed_ms, created_ms, "
        "updated_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, queue, item_id) DO NOTHING",
        tx.project(), here.row, item.item_id, static_cast<int64_t>(item.status), item.completed_by, item.completed_ms,
        item.created_ms, item.updated_ms);
  }
  core::emit(tx, "review_queue.created", "review_queue", queue.queue_id);
  TRY(tx.status());
  return true;
}

Result<void> remove_review_items(store::Tx& tx, const QueueItems& items) {
  TRY_SET(const auto ids, checked_items(items.item_ids));
  TRY_SET(const ReviewQueue queue, get_review_queue(tx, items.queue_id));
  for (const std::string& id : ids) {
    tx.exec("DELETE FROM review_queue_items WHERE project = ? AND queue = ? AND item_id = ?", tx.project(), queue.row,
            id);
  }
  core::emit(tx, "review_queue.emptied", "review_queue", items.queue_id);
  return tx.status();
}

Result<track::Page<ReviewItem>> list_review_items(store::Tx& tx, const ItemList& list) {
  TRY_SET(const int64_t size, page_size(list.max_results));
  TRY_SET(const ReviewQueue queue, get_review_queue(tx, list.queue_id));
  const std::string text = "review items\n" + list.queue_id + "\n" + std::to_string(static_cast<int>(list.status));
  track::PageQuery query;
  query.columns = kItemColumns;
  query.column_count = 6;
  query.from.add("FROM review_queue_items i");
  query.where.add("i.project = ").bind(Value::of(tx.project())).add(" AND i.queue = ").bind(Value::of(queue.row));
  if (list.status != ReviewStatus::kUnspecified) {
    query.where.add(" AND i.status = ").bind(Value::of(static_cast<int64_t>(list.status)));
  }
  query.order = {{"i.created_ms", false, Value::Type::kInt}, {"i.item_id", true, Value::Type::kText}};
  TRY_SET(const track::PageToken token, track::decode_page_token(text, list.page_token));
  TRY(track::check_token(token.after, query.order));
  query.after = token.after;
  query.offset = token.offset;
  query.limit = size;
  track::Page<ReviewItem> page;
  const track::PageEnd end =
      track::run_page(tx, query, [&](store::Rows& rows) { page.rows.push_back(read_item(rows, queue.queue_id)); });
  TRY(tx.status());
  if (end.more) page.next_token = track::encode_page_token(text, end.last);
  return page;
}

Result<ReviewItem> set_review_item_status(store::Tx& tx, const ItemStatus& change) {
  if (change.status == ReviewStatus::kUnspecified) {
    return invalid("`status` must be one of PENDING, COMPLETE or DECLINED; got proto enum value 0.");
  }
  const bool reopen = change.status == ReviewStatus::kPending;
  std::optional<std::string> by;
  if (const auto known = caller(tx)) {
    if (!reopen) by = user_of(*known);
  } else if (change.completed_by) {
    by = user_of(*change.completed_by);
  }
  if (reopen && by) return invalid("`completed_by` must not be set when reopening an item to `pending`.");
  if (!reopen && by.value_or("").empty()) {
    return invalid("`completed_by` is required when setting status to `" + std::string(word(change.status)) + "`.");
  }
  if (by) TRY(check_text(*by, "completed_by", kReviewerChars));
  tx.lock("review_queue", change.queue_id);
  TRY_SET(const ReviewQueue queue, get_review_queue(tx, change.queue_id));
  const std::string id = trimmed(change.item_id);
  auto item = find_item(tx, queue, id);
  TRY(tx.status());
  if (!item) return not_found("Item '" + id + "' is not attached to review queue '" + change.queue_id + "'.");
  if (item->status == change.status) return std::move(*item);  // who did it first, did it
  item->status = change.status;
  item->updated_ms = track::now_ms(tx);
  item->completed_by = by;
  item->completed_ms = reopen ? std::nullopt : std::optional(item->updated_ms);
  tx.exec(
      "UPDATE review_queue_items SET status = ?, completed_by = ?, completed_ms = ?, updated_ms = ? "
      "WHERE project = ? AND queue = ? AND item_id = ?",
      static_cast<int64_t>(item->status), item->completed_by, item->completed_ms, item->updated_ms, tx.project(),
      queue.row, id);
  core::emit(tx, "review_item.changed", "review_queue", change.queue_id);
  TRY(tx.status());
  return std::move(*item);
}

}  // namespace traces
