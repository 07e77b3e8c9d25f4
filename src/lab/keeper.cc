#include "lab/keeper.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/hash.h"
#include "base/ids.h"
#include "base/log.h"
#include "lab/find.h"
#include "lab/jupyter.h"

namespace lab {
namespace {

constexpr int64_t kProbeUs = 200'000;  // between questions whether one that starts answers by now
constexpr size_t kKeyBytes = 32;
constexpr size_t kSocketPath = 107;  // sun_path without its NUL

struct Entry {
  Server server;
  std::shared_ptr<const Reach> reach;  // from its start on; handed out while it runs
  Work work;
  int64_t active_us = 0;   // wall; the latest of its start, its work and its person's doings
  int64_t look_at_us = 0;  // monotonic: the next question
  int64_t give_up_us = 0;  // monotonic: when one that starts has failed
  std::string why;         // it is to be ended, and this is to be said of it
  bool fails = false;      // ended by us because it did not come up
};

bool is_over(State state) { return state == State::kStopped || state == State::kFailed; }

}  // namespace

struct Keeper::Impl {
  store::Store& store;
  const base::Clock& clock;
  std::unique_ptr<Children> children;
  Ask ask;
  KeeperOptions options;
  std::string key;

  mutable std::mutex mutex;  // of what follows; never held over a wait or a question
  std::condition_variable wake;
  std::map<std::string, Entry, std::less<>> entries;  // by owner
  std::vector<ChildNews> news;
  bool stopping = false;
  std::thread thread;

  base::Result<void> read_key();
  std::shared_ptr<const Reach> reach_of(const Server& server) const;
  std::map<std::string, std::string> environment(const Server& server, const std::string& token,
                                                 const std::string& secret) const;
  void work();
  void take(const ChildNews& about);
  void probe(const Entry& entry);
  void examine(const Entry& entry);
  base::Result<Work> ask_for_work(const Reach& reach, std::string_view owner) const;
  void move_to(const Server& server, State state, const std::string& detail);
  int64_t next_look_us() const;
};

Keeper::Keeper(store::Store& store, const base::Clock& clock, std::unique_ptr<Children> children, Ask ask,
               KeeperOptions options)
    : impl_(new Impl{.store = store,
                     .clock = clock,
                     .children = std::move(children),
                     .ask = std::move(ask),
                     .options = std::move(options)}) {}

Keeper::~Keeper() {
  {
    std::lock_guard guard(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  if (impl_->thread.joinable()) impl_->thread.join();
  impl_->children.reset();  // no news from here on
}

// A start's token is made from the key and the start's id, so that it is neither in the store nor in its backups.
base::Result<void> Keeper::Impl::read_key() {
  TRY(base::make_dirs(options.dir, 0700));
  const base::Path file = options.dir / "key";
  auto found = base::read_file(file, 4096);
  if (found && found->size() == kKeyBytes * 2) {
    key = std::move(*found);
    return {};
  }
  key = base::random_hex(base::system_random(), kKeyBytes);
  return base::write_file_durably(file, key, 0600);
}

std::shared_ptr<const Reach> Keeper::Impl::reach_of(const Server& server) const {
  auto reach = std::make_shared<Reach>();
  reach->id = server.id;
  reach->socket = options.dir / (server.id + ".sock");
  reach->token = base::sha256(key + ":" + server.id).hex();
  return reach;
}

base::Result<void> Keeper::start() {
  Impl& me = *impl_;
  TRY(me.read_key());
  const auto context = base::Context::system(me.clock, "lab");
  TRY_SET(const auto servers, me.store.read_blocking(context, [](store::Tx& tx) { return all(tx); }));
  me.children->observe([&me](ChildNews about) {
    {
      std::lock_guard guard(me.mutex);
      me.news.push_back(std::move(about));
    }
    me.wake.notify_all();
  });
  const int64_t now_us = me.clock.mono_us();
  for (const Server& server : servers) {
    Entry entry{.server = server, .reach = me.reach_of(server), .work = {}};
    entry.active_us = me.clock.wall_us();  // time without us does not count as idle
    entry.look_at_us = now_us + kProbeUs;
    entry.give_up_us = now_us + kStartUs;
    {
      std::lock_guard guard(me.mutex);
      me.entries[server.owner] = std::move(entry);
    }
    if (!is_over(server.state)) me.children->adopt(server.id);
    if (server.state == State::kStopping) me.children->stop(server.id, "it was being stopped");
  }
  me.thread = std::thread([&me] { me.work(); });
  return {};
}

std::map<std::string, std::string> Keeper::Impl::environment(const Server& server, const std::string& token,
                                                             const std::string& secret) const {
  std::map<std::string, std::string> env = options.env;
  const base::Path bin = base::Path(server.program).parent_path();
  env["PATH"] = bin.string() + (env["PATH"].empty() ? "" : ":" + env["PATH"]);
  std::error_code ignored;
  if (std::filesystem::exists(bin.parent_path() / "pyvenv.cfg", ignored))
    env["VIRTUAL_ENV"] = bin.parent_path().string();
  env["MLFLOW_TRACKING_URI"] = env["LATHE_SERVER"] = options.server_url;
  env["MLFLOW_TRACKING_TOKEN"] = env["LATHE_TOKEN"] = token;
  env["JUPYTER_TOKEN"] = secret;
  env["PYTHONUNBUFFERED"] = "1";
  return env;
}

void Keeper::run(const Begun& begun) {
  Impl& me = *impl_;
  const Server& server = begun.server;
  Entry entry{.server = server, .reach = me.reach_of(server), .work = {}};
  const int64_t now_us = me.clock.mono_us();
  entry.active_us = me.clock.wall_us();
  entry.look_at_us = now_us + kProbeUs;
  entry.give_up_us = now_us + kStartUs;
  // A path that is too long for a socket's address is given relative to the folder that Jupyter starts in.
  const std::string socket = entry.reach->socket.string();
  const bool fits = socket.size() <= kSocketPath;
  ChildSpec spec{
      .id = server.id,
      .cwd = fits ? base::Path(server.root) : me.options.dir,
      .command = shell_command(
          server.program,
          jupyter_arguments(server.owner, fits ? socket : entry.reach->socket.filename().string(), server.root)),
      .env = me.environment(server, begun.token, entry.reach->token),
      .memory_bytes = server.memory_bytes};
  {
    std::lock_guard guard(me.mutex);
    me.entries[server.owner] = std::move(entry);
  }
  me.children->start(std::move(spec));
  me.wake.notify_all();
}

void Keeper::end(std::string_view owner, std::string_view why) {
  Impl& me = *impl_;
  std::string id;
  {
    std::lock_guard guard(me.mutex);
    const auto at = me.entries.find(owner);
    if (at == me.entries.end() || is_over(at->second.server.state)) return;
    at->second.server.state = State::kStopping;
    at->second.why = why;
    id = at->second.server.id;
  }
  me.children->stop(id, why);
}

std::shared_ptr<const Reach> Keeper::reach(std::string_view owner) const {
  std::lock_guard guard(impl_->mutex);
  const auto at = impl_->entries.find(owner);
  if (at == impl_->entries.end() || at->second.server.state != State::kRunning) return nullptr;
  return at->second.reach;
}

namespace {

Report report_of(const Entry& entry) {
  return {.server = entry.server,
          .active_us = entry.active_us,
          .kernels = entry.work.kernels,
          .busy = entry.work.busy,
          .terminals = entry.work.terminals};
}

}  // namespace

std::vector<Report> Keeper::reports() const {
  std::vector<Report> out;
  std::lock_guard guard(impl_->mutex);
  for (const auto& [owner, entry] : impl_->entries) out.push_back(report_of(entry));
  return out;
}

Report Keeper::report(std::string_view owner) const {
  std::lock_guard guard(impl_->mutex);
  const auto at = impl_->entries.find(owner);
  if (at != impl_->entries.end()) return report_of(at->second);
  Report none;
  none.server.owner = owner;
  return none;
}

void Keeper::touch(std::string_view owner) {
  std::lock_guard guard(impl_->mutex);
  if (const auto at = impl_->entries.find(owner); at != impl_->entries.end())
    at->second.active_us = impl_->clock.wall_us();
}

base::Path Keeper::log_of(std::string_view owner) const {
  std::lock_guard guard(impl_->mutex);
  const auto at = impl_->entries.find(owner);
  return at == impl_->entries.end() ? base::Path() : impl_->children->log_of(at->second.server.id);
}

// --- the keeper's thread

int64_t Keeper::Impl::next_look_us() const {
  int64_t at = clock.mono_us() + 3'600'000'000;
  for (const auto& [owner, entry] : entries) {
    if (entry.server.state == State::kStarting || entry.server.state == State::kRunning)
      at = std::min(at, entry.look_at_us);
  }
  return at;
}

void Keeper::Impl::work() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    const int64_t wait_us = next_look_us() - clock.mono_us();
    if (news.empty() && wait_us > 0) {
      wake.wait_for(lock, std::chrono::microseconds(wait_us));
      continue;
    }
    const auto told = std::exchange(news, {});
    std::vector<Entry> due;
    for (const auto& [owner, entry] : entries) {
      const bool asks = entry.server.state == State::kStarting || entry.server.state == State::kRunning;
      if (asks && entry.look_at_us <= clock.mono_us()) due.push_back(entry);
    }
    lock.unlock();
    for (const ChildNews& about : told) take(about);
    for (const Entry& entry : due) entry.server.state == State::kStarting ? probe(entry) : examine(entry);
    lock.lock();
  }
}

void Keeper::Impl::take(const ChildNews& about) {
  if (about.runs) return;  // that it answers is what counts
  Server server;
  std::string detail = about.detail;
  State state = about.clean ? State::kStopped : State::kFailed;
  {
    std::lock_guard guard(mutex);
    const auto at = std::ranges::find_if(entries, [&](const auto& e) { return e.second.server.id == about.id; });
    if (at == entries.end() || is_over(at->second.server.state)) return;
    const Entry& entry = at->second;
    server = entry.server;
    if (!entry.why.empty()) {
      detail = entry.why;
      state = entry.fails ? State::kFailed : State::kStopped;
    } else if (server.state == State::kStopping) {
      state = State::kStopped;
    }
  }
  std::error_code ignored;
  std::filesystem::remove(options.dir / (server.id + ".sock"), ignored);
  move_to(server, state, detail);
}

// Does it answer by now?
void Keeper::Impl::probe(const Entry& entry) {
  const auto answer = ask({entry.reach->socket, base_path(entry.server.owner) + "/api", entry.reach->token});
  const int64_t now_us = clock.mono_us();
  if (answer) return move_to(entry.server, State::kRunning, "");
  std::lock_guard guard(mutex);
  const auto at = entries.find(entry.server.owner);
  if (at == entries.end() || at->second.server.id != entry.server.id || at->second.server.state != State::kStarting)
    return;
  at->second.look_at_us = now_us + kProbeUs;
  if (now_us < at->second.give_up_us) return;
  at->second.why = "it did not answer within " + std::to_string(kStartUs / 1'000'000) + " s; its log says more";
  at->second.fails = true;
  at->second.server.state = State::kStopping;
  children->stop(entry.server.id, at->second.why);
}

base::Result<Work> Keeper::Impl::ask_for_work(const Reach& reach, std::string_view owner) const {
  // no_track_activity: our own question is no sign of life.
  const std::string api = base_path(owner) + "/api/";
  TRY_SET(const std::string kernels, ask({reach.socket, api + "kernels?no_track_activity=1", reach.token}));
  const auto terminals = ask({reach.socket, api + "terminals?no_track_activity=1", reach.token});
  return read_work(kernels, terminals ? *terminals : "[]");  // terminals may be switched off
}

// Is anybody at work? One that does not answer is left alone: it may be computing.
void Keeper::Impl::examine(const Entry& entry) {
  const auto found = ask_for_work(*entry.reach, entry.server.owner);
  std::string why;
  {
    std::lock_guard guard(mutex);
    const auto at = entries.find(entry.server.owner);
    if (at == entries.end() || at->second.server.id != entry.server.id || at->second.server.state != State::kRunning)
      return;
    Entry& now = at->second;
    now.look_at_us = clock.mono_us() + std::min(options.look_us, std::max<int64_t>(now.server.idle_us / 4, kProbeUs));
    if (!found) return;
    now.work = *found;
    const int64_t wall_us = clock.wall_us();
    now.active_us = found->busy > 0 ? wall_us : std::max(now.active_us, std::min(found->active_us, wall_us));
    if (wall_us - now.active_us < now.server.idle_us) return;
    why = "nobody worked in it for " + std::to_string((wall_us - now.active_us) / 60'000'000) + " minutes";
    now.why = why;
    now.server.state = State::kStopping;
  }
  base::log::info("an idle notebook server is stopped", {{"owner", entry.server.owner}, {"why", why}});
  children->stop(entry.server.id, why);
}

void Keeper::Impl::move_to(const Server& server, State state, const std::string& detail) {
  auto context = base::Context::system(clock, "lab");
  context.project = server.project;
  const auto moved =
      store.write_blocking(context, [&](store::Tx& tx) { return move(tx, server.owner, server.id, state, detail); });
  if (!moved)
    base::log::error("a notebook server's state is not stored",
                     {{"owner", server.owner}, {"why", moved.error().message}});
  std::lock_guard guard(mutex);
  const auto at = entries.find(server.owner);
  if (at == entries.end() || at->second.server.id != server.id) return;
  Entry& entry = at->second;
  if (state == State::kRunning && entry.server.state != State::kStarting) return;  // told to stop meanwhile
  entry.server.state = state;
  entry.server.detail = detail;
  if (is_over(state)) entry.server.ended_us = clock.wall_us(), entry.work = {};
  entry.look_at_us = clock.mono_us() + kProbeUs;
}

}  // namespace lab
