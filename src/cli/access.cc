// lathe user, token, project, audit, login, logout: who may do what. Users can be added before the first start of a
// server: without one that answers, the commands of `lathe user` open the folder's store themselves, under its lock.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/json.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/credentials.h"
#include "core/password.h"
#include "core/users.h"
#include "net/http.h"
#include "server/config.h"
#include "server/run.h"
#include "store/store.h"

namespace cli {
namespace {

namespace json = boost::json;

std::string time_text(int64_t at_us) {
  if (at_us == 0) return "never";
  const time_t seconds = at_us / 1'000'000;
  tm parts{};
  gmtime_r(&seconds, &parts);
  char buffer[32];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M", &parts);
  return buffer;
}

// --- where users are: a server, or its store -------------------------------------------------------------------------

struct UserStore {
  std::string dir;    // --dir
  std::string store;  // --store
};

// The folder's own store, if no server was named and none answers in this folder.
std::unique_ptr<store::Store> open_store(const Common& common, const UserStore& where) {
  if (has_server(common)) return nullptr;
  server::Variables flags;
  if (!where.dir.empty()) flags["dir"] = where.dir;
  if (!where.store.empty()) flags["store"] = where.store;
  auto config = server::load_config(flags, server::environment());
  if (!config) throw Failure(kUsage, config.error().message);
  need(base::make_dirs(config->dir, 0700));
  return need(store::Store::open({.url = config->store_url, .holder = "lathe user"}, server::store_modules()));
}

base::Context of_server() {
  base::Context ctx = base::Context::system(base::system_clock(), "local");
  ctx.project = core::kServerProject;
  return ctx;
}

// "viewer" is of the command's project; "vision:runner" and "*:viewer" say it themselves.
std::vector<core::ProjectRole> parse_roles(const std::vector<std::string>& given, const std::string& project) {
  std::vector<core::ProjectRole> roles;
  for (const std::string& text : given) {
    const size_t colon = text.find(':');
    const std::string where =
        colon == std::string::npos ? (project.empty() ? "default" : project) : text.substr(0, colon);
    auto role = core::parse_role(colon == std::string::npos ? text : text.substr(colon + 1));
    if (!role) throw Failure(kUsage, role.error().message);
    roles.push_back({where, *role});
  }
  return roles;
}

json::object roles_json(const std::vector<core::ProjectRole>& roles) {
  json::object out;
  for (const auto& [project, role] : roles) {
    auto& list = out[project];
    if (!list.is_array()) list = json::array();
    list.as_array().emplace_back(core::name(role));
  }
  return out;
}

struct UserFlags {
  UserStore where;
  std::string name;
  std::vector<std::string> roles;
  bool admin = false, no_admin = false, service = false, none = false;
};

void add_user(const Common& common, const UserFlags& flags) {
  const auto roles = parse_roles(flags.roles, common.project);
  const std::string password = flags.service ? "" : read_new_password("Password for " + flags.name);
  bool admin = flags.admin;
  if (const auto store = open_store(common, flags.where)) {
    core::NewUser user{.name = flags.name, .admin = flags.admin, .roles = roles};
    if (flags.service) user.kind = base::ActorKind::kService;
    if (!flags.service) user.password = need(core::hash_password(password));
    admin = need(store->write_blocking(of_server(), [&](store::Tx& tx) { return core::add_user(tx, user); })).admin;
  } else {
    json::object body{{"name", flags.name}, {"admin", flags.admin}, {"roles", roles_json(roles)}};
    if (flags.service) {
      body["kind"] = "service";
    } else {
      body["password"] = password;
    }
    admin = Api(common).post("/users", body).at("admin").as_bool();
  }
  std::printf("added %s%s\n", flags.name.c_str(), admin ? ", an administrator of the server" : "");
  if (!admin && roles.empty()) {
    std::printf(
        "it has no role yet: lathe user role %s viewer|contributor|editor|runner|infer|admin|plane [--project NAME]\n",
        flags.name.c_str());
  }
}

void print_user(const std::string& name, bool service, bool admin, bool disabled, const std::string& roles) {
  std::string state = admin ? "administrator" : service ? "service" : "user";
  if (disabled) state += ", disabled";
  std::printf("%-24s %-24s %s\n", name.c_str(), state.c_str(), roles.c_str());
}

void list_users(const Common& common, const UserFlags& flags) {
  if (const auto store = open_store(common, flags.where)) {
    const auto users = need(store->read_blocking(
        of_server(), [](store::Tx& tx) -> base::Result<std::vector<core::User>> { return core::list_users(tx); }));
    for (const auto& user : users) {
      std::string roles;
      for (const auto& role : user.roles)
        roles.append(roles.empty() ? "" : " ").append(role.project).append(":").append(core::name(role.role));
      print_user(user.name, user.kind == base::ActorKind::kService, user.admin, user.disabled, roles);
    }
    return;
  }
  const auto answer = Api(common).get("/users");
  for (const auto& each : answer.at("users").as_array()) {
    const auto& user = each.as_object();
    std::string roles;
    for (const auto& [project, list] : user.at("roles").as_object()) {
      for (const auto& role : list.as_array())
        roles.append(roles.empty() ? "" : " ").append(project).append(":").append(role.as_string());
    }
    print_user(std::string(user.at("name").as_string()), user.at("kind").as_string() == "service",
               user.at("admin").as_bool(), user.at("disabled").as_bool(), roles);
  }
}

// One change, here or there.
void change_user(const Common& common, const UserFlags& flags, const core::UserChange& change, json::object body) {
  if (const auto store = open_store(common, flags.where)) {
    need(store->write_blocking(of_server(), [&](store::Tx& tx) { return core::change_user(tx, flags.name, change); }));
    return;
  }
  Api(common).patch("/users/" + net::percent_encode(flags.name), body);
}

void set_disabled(const Common& common, const UserFlags& flags, bool disabled) {
  change_user(common, flags, {.disabled = disabled}, {{"disabled", disabled}});
  std::printf("%s is %s\n", flags.name.c_str(),
              disabled ? "disabled; its sessions and tokens have ended to work" : "enabled");
}

void set_roles(const Common& common, const UserFlags& flags) {
  if (flags.roles.empty() && !flags.none && !flags.admin && !flags.no_admin)
    throw Failure(
        kUsage,
        "name the roles (viewer, contributor, editor, runner, infer, admin, plane), or --none, --admin or --no-admin");
  if (flags.none && !flags.roles.empty()) throw Failure(kUsage, "--none goes without roles");
  core::UserChange change;
  json::object body;
  if (flags.admin || flags.no_admin) {
    change.admin = flags.admin;
    body["admin"] = flags.admin;
  }
  const std::string project = common.project.empty() ? "default" : common.project;
  if (flags.none) {
    change.roles.emplace().push_back({project, {}});
    body["roles"] = json::object{{project, json::array()}};
  } else if (!flags.roles.empty()) {
    const auto roles = parse_roles(flags.roles, project);
    auto& map = change.roles.emplace();
    for (const auto& [where, role] : roles) {
      auto found = std::ranges::find(map, where, [](const auto& entry) { return entry.first; });
      if (found == map.end()) found = map.insert(map.end(), {where, {}});
      found->second.push_back(role);
    }
    body["roles"] = roles_json(roles);
  }
  change_user(common, flags, change, std::move(body));
  std::printf("changed %s\n", flags.name.c_str());
}

void set_password(const Common& common, const UserFlags& flags) {
  if (flags.name.empty()) {  // one's own
    const std::string old_password = read_password("Old password");
    const std::string new_password = read_new_password("New password");
    Api(common).post("/me/password", {{"old_password", old_password}, {"new_password", new_password}});
  } else {
    const std::string password = read_new_password("New password for " + flags.name);
    core::UserChange change;
    if (!has_server(common)) change.password = need(core::hash_password(password));
    change_user(common, flags, change, {{"password", password}});
  }
  std::printf("changed; all sessions of the user have ended\n");
}

// --- tokens, projects, audit -----------------------------------------------------------------------------------------

// "30d", "12h", "90m", "45s"
int64_t parse_duration_s(const std::string& text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string unit = text.substr(digits);
  const int64_t scale = unit == "d" ? 86400 : unit == "h" ? 3600 : unit == "m" ? 60 : unit == "s" ? 1 : 0;
  if (digits == 0 || digits > 9 || scale == 0)
    throw Failure(kUsage, "'" + text + "' is no duration; allowed: a number with d, h, m or s, such as 30d");
  return std::stoll(text.substr(0, digits)) * scale;
}

struct TokenFlags {
  std::string user, label, role, expires, id;
  bool all = false;
};

void create_token(const Common& common, const TokenFlags& flags) {
  json::object body;
  if (!flags.user.empty()) body["user"] = flags.user;
  if (!flags.label.empty()) body["label"] = flags.label;
  if (!flags.role.empty()) body["role"] = flags.role;
  if (!common.project.empty()) body["project"] = common.project;
  if (!flags.expires.empty()) body["expires_in_s"] = parse_duration_s(flags.expires);
  const auto answer = Api(common).post("/tokens", body);
  std::fprintf(stderr, "token %s; it is shown this once:\n", answer.at("id").as_string().c_str());
  std::printf("%s\n", answer.at("token").as_string().c_str());
}

void list_tokens(const Common& common, const TokenFlags& flags) {
  const auto answer = Api(common).get(flags.all ? "/tokens?all=true" : "/tokens");
  for (const auto& each : answer.at("tokens").as_array()) {
    const auto& token = each.as_object();
    const auto text = [&](const char* key) { return std::string(token.at(key).as_string()); };
    const std::string scope = (text("role").empty() ? "all its owner may" : text("role")) +
                              (text("project").empty() ? "" : " in " + text("project"));
    const int64_t expires_us = token.at("expires_us").as_int64();
    std::printf("%s  %-16s %-28s used %-16s  %s%s\n", text("id").c_str(), text("user").c_str(), scope.c_str(),
                time_text(token.at("last_used_us").as_int64()).c_str(),
                expires_us == 0 ? "" : ("until " + time_text(expires_us) + "  ").c_str(), text("label").c_str());
  }
}

void audit(const Common& common, const std::string& actor, const std::string& kind, int limit) {
  std::string path = "/audit?limit=" + std::to_string(limit);
  if (!actor.empty()) path += "&actor=" + net::percent_encode(actor);
  if (!kind.empty()) path += "&kind=" + net::percent_encode(kind);
  const auto answer = Api(common).get(path);
  for (const auto& each : answer.at("lines").as_array()) {
    const auto& line = each.as_object();
    const auto& subject = line.at("subject").as_object();
    const std::string body = base::to_text(line.at("body"));
    std::printf("%s  %-20s %-24s %s %s%s\n", time_text(line.at("at_us").as_int64()).c_str(),
                line.at("actor").as_string().c_str(), line.at("action").as_string().c_str(),
                subject.at("kind").as_string().c_str(), subject.at("id").as_string().c_str(),
                body == "{}" ? "" : ("  " + body).c_str());
  }
}

// --- login -----------------------------------------------------------------------------------------------------------

void login(const Common& common, std::string user, const std::string& expires) {
  if (user.empty()) user = read_line("User");
  const std::string password = read_password("Password");
  const json::object body{{"label", "lathe login"}, {"expires_in_s", parse_duration_s(expires)}};
  Api api(common);
  api.use_password(user, password);
  const auto answer = api.post("/tokens", body);
  const auto file = save_token(api.server(), std::string(answer.at("token").as_string()));
  std::printf("logged in to %s as %s; the token %s is in %s and ends in %s\n", api.server().c_str(), user.c_str(),
              answer.at("id").as_string().c_str(), file.c_str(), expires.c_str());
}

void logout(const Common& common) {
  const std::string server = find_server(common);
  std::printf(forget_token(server) ? "forgot the token for %s; 'lathe token list' shows those that still work\n"
                                   : "there is no token for %s here\n",
              server.c_str());
}

void add_user_commands(CLI::App& app, Common& common) {
  auto flags = std::make_shared<UserFlags>();
  auto* group = app.add_subcommand("user", "Users of the server, their roles and passwords");
  group->require_subcommand(1);
  const auto command = [&](const char* name, const char* help, bool named) {
    auto* sub = group->add_subcommand(name, help);
    if (named) sub->add_option("name", flags->name, "the user")->required();
    sub->add_option("--dir", flags->where.dir, "without a running server: its folder [.lathe]; LATHE_DIR");
    sub->add_option("--store", flags->where.store, "without a running server: its store [sqlite]; LATHE_STORE");
    return sub;
  };
  auto* add =
      command("add", "Add a user; the first becomes administrator. The password comes from a prompt or stdin", true);
  add->add_flag("--admin", flags->admin, "administrator of the whole server");
  add->add_flag("--service", flags->service, "a program: tokens and no password");
  add->add_option("--role", flags->roles, "ROLE (in --project), PROJECT:ROLE or '*:ROLE'; may be repeated");
  add->callback([flags, &common] { add_user(common, *flags); });
  command("list", "All users with their roles", false)->callback([flags, &common] { list_users(common, *flags); });
  command("disable", "End a user's sessions and tokens, and let it in no more", true)->callback([flags, &common] {
    set_disabled(common, *flags, true);
  });
  command("enable", "Let a disabled user in again", true)->callback([flags, &common] {
    set_disabled(common, *flags, false);
  });
  auto* role = command("role", "Set the roles of a user in a project (--project, else default)", true);
  role->add_option("roles", flags->roles,
                   "viewer, contributor, editor, runner, infer, admin, plane; PROJECT:ROLE and '*:ROLE' too");
  role->add_flag("--none", flags->none, "no role in the project any more");
  role->add_flag("--admin", flags->admin, "administrator of the whole server");
  role->add_flag("--no-admin", flags->no_admin, "administrator no more")->excludes("--admin");
  role->callback([flags, &common] { set_roles(common, *flags); });
  auto* password = command("password", "Change a password: one's own, or a user's by the administrator", false);
  password->add_option("name", flags->name, "the user; without it, oneself");
  password->callback([flags, &common] { set_password(common, *flags); });
}

void add_token_commands(CLI::App& app, Common& common) {
  auto flags = std::make_shared<TokenFlags>();
  auto* group = app.add_subcommand("token", "Tokens for programs (Authorization: Bearer, LATHE_TOKEN)");
  group->require_subcommand(1);
  auto* create = group->add_subcommand("create", "Make a token and print it; --project limits it to that project");
  create->add_option("--user", flags->user, "whose; for administrators");
  create->add_option("--label", flags->label, "what it is for");
  create->add_option("--role", flags->role,
                     "at most what this role may: viewer, contributor, editor, runner, infer, admin, plane");
  create->add_option("--expires", flags->expires, "such as 30d, 12h; without it, never");
  create->callback([flags, &common] { create_token(common, *flags); });
  auto* list = group->add_subcommand("list", "Your tokens, with their last use");
  list->add_flag("--all", flags->all, "everybody's; for administrators");
  list->callback([flags, &common] { list_tokens(common, *flags); });
  auto* revoke = group->add_subcommand("revoke", "End a token at once");
  revoke->add_option("id", flags->id, "tk_…, as lathe token list shows it")->required();
  revoke->callback([flags, &common] {
    net::ClientRequest request;
    request.method = "DELETE";
    Api(common).call(std::move(request), "/tokens/" + net::percent_encode(flags->id));
    std::printf("revoked %s\n", flags->id.c_str());
  });
}

}  // namespace

void add_access_commands(CLI::App& app, Common& common) {
  add_user_commands(app, common);
  add_token_commands(app, common);

  auto name = std::make_shared<std::string>();
  auto* projects = app.add_subcommand("project", "Projects: who works on what, apart from each other");
  projects->require_subcommand(1);
  auto* add = projects->add_subcommand("add", "Add a project");
  add->add_option("name", *name, "a-z, 0-9, '_', '-'")->required();
  add->callback([name, &common] {
    Api(common).post("/projects", {{"name", *name}});
    std::printf("added project %s\n", name->c_str());
  });
  projects->add_subcommand("list", "The projects that you may enter")->callback([&common] {
    const auto answer = Api(common).get("/projects");
    for (const auto& each : answer.at("projects").as_array()) std::printf("%s\n", each.at("name").as_string().c_str());
  });

  struct AuditFlags {
    std::string actor, kind;
    int limit = 50;
  };
  auto lines = std::make_shared<AuditFlags>();
  auto* audit_command = app.add_subcommand("audit", "Who changed what, newest first");
  audit_command->add_option("--actor", lines->actor, "such as user:ann");
  audit_command->add_option("--kind", lines->kind, "such as user.disabled, or user for all about users");
  audit_command->add_option("--limit", lines->limit, "lines [50]")->check(CLI::Range(1, 1000));
  audit_command->callback([lines, &common] { audit(common, lines->actor, lines->kind, lines->limit); });

  struct LoginFlags {
    std::string user, expires = "30d";
  };
  auto who = std::make_shared<LoginFlags>();
  auto* login_command = app.add_subcommand("login", "Log in to a server: keeps a token for it in your home");
  login_command->add_option("user", who->user, "the user; without it, asked for");
  login_command->add_option("--expires", who->expires, "how long the token works [30d]");
  login_command->callback([who, &common] { login(common, who->user, who->expires); });
  app.add_subcommand("logout", "Forget the token of a server")->callback([&common] { logout(common); });
}

}  // namespace cli
