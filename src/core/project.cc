#include "core/project.h"

#include <algorithm>

namespace core {
namespace {

constexpr size_t kMaxName = 63;

bool is_project_name(std::string_view name) {
  const auto is_alnum = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= kMaxName && is_alnum(name[0]) &&
         std::ranges::all_of(name, [&](char c) { return is_alnum(c) || c == '_' || c == '-'; });
}

}  // namespace

base::Result<Project> get_project(store::Tx& tx, std::string_view name) {
  if (const auto id = tx.query_i64("SELECT id FROM projects WHERE name = ?", name))
    return Project{*id, std::string(name)};
  TRY(tx.status());
  return base::not_found("project '" + std::string(name) + "' does not exist");
}

base::Result<Project> ensure_project(store::Tx& tx, std::string_view name) {
  if (!is_project_name(name)) {
    return base::invalid("project name '" + std::string(name.substr(0, 80)) +
                         "' is not allowed: 1 to 63 of a-z, 0-9, '_' and '-', beginning with a letter or digit");
  }
  tx.exec("INSERT INTO projects (name, created_us) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", name, tx.now_us());
  return get_project(tx, name);
}

std::string project_name(store::Tx& tx) {
  if (tx.project() == base::kDefaultProject) return "default";
  store::Rows rows = tx.query("SELECT name FROM projects WHERE id = ?", tx.project());
  return rows.next() ? rows.str(0) : "";
}

std::vector<Project> list_projects(store::Tx& tx) {
  std::vector<Project> projects;
  store::Rows rows = tx.query("SELECT id, name FROM projects ORDER BY name");
  while (rows.next()) projects.push_back({rows.i64(0), rows.str(1)});
  return projects;
}

}  // namespace core
