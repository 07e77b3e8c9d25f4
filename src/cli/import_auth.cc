// The database of MLflow's auth app: users with their password's hash, and what they may do. Since 3.13 permissions are
// rows of roles, one of which is each user's own; before, tables by kind of resource.
#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/clock.h"
#include "cli/command.h"
#include "cli/import_source.h"

namespace cli {
namespace {

constexpr std::array<std::string_view, 4> kKept = {"experiment", "registered_model", "prompt", "workspace"};

class SqlAuth final : public AuthSource {
 public:
  SqlAuth(std::unique_ptr<store::Store> store, std::string workspace)
      : store_(std::move(store)), workspace_(std::move(workspace)) {
    if (!has("users"))
      throw Failure(kRefused, "--auth-db is no database of MLflow's auth app: it has no table 'users'");
  }

  std::vector<SourceUser> users() override {
    std::vector<SourceUser> out;
    each("SELECT id, username, password_hash, is_admin FROM users ORDER BY is_admin DESC, id", [&](store::Rows& rows) {
      const std::string_view admin = rows.text(3);
      names_[rows.i64(0)] = rows.str(1);
      places_[rows.i64(0)] = out.size();
      out.push_back({{rows.str(1), rows.str(2), admin == "1" || admin == "t"}, {}});
    });
    if (has("role_permissions")) {
      each(
          "SELECT p.resource_type, p.resource_pattern, p.permission, r.name, r.workspace FROM role_permissions p "
          "JOIN roles r ON r.id = p.role_id ORDER BY p.id",
          [&](store::Rows& rows) {
            const auto user = own_role_of(rows.str(3));
            if (user) keep(out, *user, {rows.str(0), rows.str(1), rows.str(2)}, rows.str(4));
          });
      return out;
    }
    if (has("experiment_permissions"))
      each("SELECT user_id, experiment_id, permission FROM experiment_permissions ORDER BY id",
           [&](store::Rows& rows) { keep(out, rows.i64(0), {"experiment", rows.str(1), rows.str(2)}, workspace_); });
    if (has("registered_model_permissions"))
      each("SELECT user_id, name, permission FROM registered_model_permissions ORDER BY id", [&](store::Rows& rows) {
        keep(out, rows.i64(0), {"registered_model", rows.str(1), rows.str(2)}, workspace_);
      });
    return out;
  }

  std::vector<takeover::NewRole> roles() override {
    std::map<int64_t, takeover::NewRole> found;
    if (!has("role_permissions")) return {};
    each("SELECT id, name, workspace, description FROM roles ORDER BY id", [&](store::Rows& rows) {
      if (own_role_of(rows.str(1))) return;
      if (rows.text(2) != workspace_) {
        ++left_out_["roles of other workspaces"];
        return;
      }
      found[rows.i64(0)] = {rows.str(1), rows.opt_str(3), {}, {}};
    });
    each("SELECT role_id, resource_type, resource_pattern, permission FROM role_permissions ORDER BY id",
         [&](store::Rows& rows) {
           const auto role = found.find(rows.i64(0));
           if (role == found.end()) return;
           if (takeover::Grant grant{rows.str(1), rows.str(2), rows.str(3)}; is_kept(grant))
             role->second.grants.push_back(std::move(grant));
         });
    each("SELECT role_id, user_id FROM user_role_assignments ORDER BY id", [&](store::Rows& rows) {
      const auto role = found.find(rows.i64(0));
      const auto user = names_.find(rows.i64(1));
      if (role != found.end() && user != names_.end()) role->second.users.push_back(user->second);
    });
    std::vector<takeover::NewRole> out;
    for (auto& [id, role] : found) out.push_back(std::move(role));
    return out;
  }

  std::vector<std::pair<std::string, int64_t>> left_out() override { return {left_out_.begin(), left_out_.end()}; }

 private:
  template <class F>
  void each(const std::string& sql, F visit) {
    const auto done =
        store_->read_blocking(base::Context::system(base::system_clock()), [&](store::Tx& tx) -> base::Result<void> {
          auto rows = tx.open(sql, {});
          while (rows.next()) visit(rows);
          return tx.status();
        });
    if (!done) throw Failure(kRefused, "--auth-db: " + done.error().message);
  }
  bool has(const std::string& table) {
    return store_
        ->read_blocking(base::Context::system(base::system_clock()),
                        [&](store::Tx& tx) -> base::Result<void> {
                          auto rows = tx.open("SELECT 1 FROM " + table + " LIMIT 1", {});
                          rows.next();
                          return tx.status();
                        })
        .has_value();
  }

  // "__user_7__": 7
  static std::optional<int64_t> own_role_of(const std::string& name) {
    constexpr std::string_view kPrefix = "__user_";
    if (!name.starts_with(kPrefix) || !name.ends_with("__")) return std::nullopt;
    return std::strtoll(name.c_str() + kPrefix.size(), nullptr, 10);
  }
  bool is_kept(const takeover::Grant& grant) {
    const bool kept =
        std::ranges::find(kKept, grant.kind) != kKept.end() && !(grant.kind == "prompt" && grant.resource == "*");
    if (!kept) ++left_out_["permissions on '" + grant.kind + "'"];
    return kept;
  }
  void keep(std::vector<SourceUser>& users, int64_t user, takeover::Grant grant, const std::string& workspace) {
    const auto place = places_.find(user);
    if (place == places_.end()) return;
    if (workspace != workspace_) {
      ++left_out_["permissions in other workspaces"];
    } else if (grant.kind == "workspace") {
      ++left_out_["permissions of single users on the workspace (give them a role)"];
    } else if (is_kept(grant)) {
      users[place->second].grants.push_back(std::move(grant));
    }
  }

  std::unique_ptr<store::Store> store_;
  std::string workspace_;
  std::map<int64_t, std::string> names_;
  std::map<int64_t, size_t> places_;
  std::map<std::string, int64_t> left_out_;
};

}  // namespace

std::unique_ptr<AuthSource> open_auth_source(const std::string& where, const std::string& workspace) {
  base::Path folder;
  return std::make_unique<SqlAuth>(open_source_store(where, folder), workspace);
}

}  // namespace cli
