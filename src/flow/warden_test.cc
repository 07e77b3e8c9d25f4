// With real processes. Each test has a warden of its own in a temporary folder.
#include "flow/warden.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "flow/process_tree.h"

namespace flow {
namespace {

constexpr int64_t kLongUs = 20'000'000;

// A connection to a warden: sends frames, waits for those that matter.
class Line {
 public:
  explicit Line(base::Fd fd) : fd_(std::move(fd)) {}
  void send(const Frame& frame) { ASSERT_TRUE(base::write_all(fd_.get(), encode(frame))); }
  void close() { fd_.reset(); }
  int fd() const { return fd_.get(); }

  std::optional<Frame> wait(FrameType type, const std::string& attempt) {
    const int64_t until = detail::mono_us() + kLongUs;
    while (detail::mono_us() < until) {
      auto frame = reader_.next();
      if (!frame) return std::nullopt;
      if (*frame) {
        if ((*frame)->type == type && (*frame)->field(0) == attempt) return **frame;
        continue;
      }
      pollfd p{fd_.get(), POLLIN, 0};
      ::poll(&p, 1, 100);
      if (!p.revents) continue;
      char buffer[4096];
      const ssize_t n = ::read(fd_.get(), buffer, sizeof buffer);
      if (n <= 0) return std::nullopt;
      reader_.feed({buffer, static_cast<size_t>(n)});
    }
    return std::nullopt;
  }
  AttemptStatus end_of(const std::string& attempt) {
    const auto frame = wait(FrameType::kEnded, attempt);
    EXPECT_TRUE(frame.has_value()) << "no end of " << attempt;
    return frame ? AttemptStatus::from_text(frame->field(1)) : AttemptStatus{};
  }

 private:
  base::Fd fd_;
  FrameReader reader_;
};

bool eventually(const std::function<bool()>& what) {
  for (int i = 0; i < 1000; ++i) {
    if (what()) return true;
    ::usleep(10'000);
  }
  return false;
}

class WardenTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = *base::make_temp_dir(testing::TempDir(), "warden");
    ASSERT_TRUE(base::make_dirs(dir_ / "cwd"));
  }
  void TearDown() override {
    EXPECT_TRUE(stop_warden(dir_, kLongUs));
    EXPECT_TRUE(base::remove_tree(dir_));
  }
  Line launch() {
    auto fd = launch_warden(dir_);
    EXPECT_TRUE(fd) << fd.error().message;
    return Line(std::move(*fd));
  }
  StartRequest request(std::string attempt, std::string cmd) {
    StartRequest r{.attempt = std::move(attempt),
                   .cwd = dir_ / "cwd",
                   .cmd = std::move(cmd),
                   .env = {"PATH=/usr/bin:/bin", "GREETING=hello"}};
    r.grace_us = 300'000;
    return r;
  }
  std::string log_of(const std::string& attempt) {
    return base::read_file(attempt_dir(dir_, attempt) / "log").value_or("(no log)");
  }
  pid_t pid_in(const std::string& file) {
    const auto text = base::read_file(dir_ / "cwd" / file);
    return text && text->ends_with('\n') ? static_cast<pid_t>(std::stol(*text)) : 0;
  }
  // Gone, or a zombie that init has not reaped yet.
  static bool gone(pid_t pid) {
    const auto stat = base::read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
    return !stat || stat->find(") Z ") != std::string::npos;
  }

  base::Path dir_;
};

TEST_F(WardenTest, RunsACommandAndKeepsItsLogAndStatus) {
  Line line = launch();
  line.send(request("at_1", "echo $GREETING; echo oops >&2; pwd; exit 3").to_frame());
  ASSERT_TRUE(line.wait(FrameType::kStarted, "at_1"));
  const AttemptStatus status = line.end_of("at_1");
  EXPECT_EQ(status.outcome, Outcome::kFailed);
  EXPECT_EQ(status.exit_code, 3);
  EXPECT_EQ(status.detail, "exit code 3");
  EXPECT_GT(status.started_us, 0);
  EXPECT_GE(status.ended_us, status.started_us);
  EXPECT_TRUE(log_of("at_1").starts_with("hello\noops\n/"));
}

TEST_F(WardenTest, SignalsAreToldApartFromExitCodes) {
  Line line = launch();
  line.send(request("at_sig", "kill -SEGV $$").to_frame());
  const AttemptStatus status = line.end_of("at_sig");
  EXPECT_EQ(status.outcome, Outcome::kFailed);
  EXPECT_EQ(status.exit_code, -1);
  EXPECT_EQ(status.signal, SIGSEGV);
  line.send(request("at_ok", "true").to_frame());
  EXPECT_EQ(line.end_of("at_ok").outcome, Outcome::kSucceeded);
}

TEST_F(WardenTest, AMissingFolderIsSaid) {
  Line line = launch();
  StartRequest r = request("at_nodir", "true");
  r.cwd = dir_ / "nowhere";
  line.send(r.to_frame());
  const AttemptStatus status = line.end_of("at_nodir");
  EXPECT_EQ(status.outcome, Outcome::kFailed);
  EXPECT_NE(status.detail.find("nowhere: No such file"), std::string::npos) << status.detail;
}

TEST_F(WardenTest, ASecondSubmitOfAnAttemptDoesNotRunItAgain) {
  Line line = launch();
  const Frame start = request("at_twice", "echo run >> count; sleep 0.3").to_frame();
  line.send(start);
  line.send(start);
  EXPECT_EQ(line.end_of("at_twice").outcome, Outcome::kSucceeded);
  line.send(start);  // also after its end
  EXPECT_EQ(line.end_of("at_twice").outcome, Outcome::kSucceeded);
  EXPECT_EQ(base::read_file(dir_ / "cwd/count").value_or(""), "run\n");
}

TEST_F(WardenTest, CancelEndsEveryProcessAlsoThoseThatLeftTheSession) {
  Line line = launch();
  // A child that ignores TERM, a grandchild in a session of its own whose parent is gone, and a pipe's other end.
  line.send(request("at_kill",
                    "trap '' TERM; (setsid sh -c 'trap \"\" TERM; echo $$ > deep; while :; do sleep 1; done' &) ; "
                    "sleep 1000 & echo $! > side; while :; do sleep 1; done")
                .to_frame());
  ASSERT_TRUE(eventually([&] { return pid_in("deep") > 0 && pid_in("side") > 0; }));
  const pid_t deep = pid_in("deep"), side = pid_in("side");
  EXPECT_FALSE(gone(deep));
  line.send({.type = FrameType::kKill, .fields = {"at_kill", "killed", "the run was cancelled"}});
  const AttemptStatus status = line.end_of("at_kill");
  EXPECT_EQ(status.outcome, Outcome::kKilled);
  EXPECT_EQ(status.detail, "the run was cancelled");
  EXPECT_TRUE(gone(deep));
  EXPECT_TRUE(gone(side));
}

TEST_F(WardenTest, WhatAStageLeavesBehindEndsWithIt) {
  Line line = launch();
  line.send(request("at_left", "setsid sleep 1000 & echo $! > left").to_frame());
  EXPECT_EQ(line.end_of("at_left").outcome, Outcome::kSucceeded);
  EXPECT_TRUE(gone(pid_in("left")));
}

TEST_F(WardenTest, TimeoutEndsIt) {
  Line line = launch();
  StartRequest r = request("at_time", "sleep 1000");
  r.timeout_us = 300'000;
  line.send(r.to_frame());
  EXPECT_EQ(line.end_of("at_time").outcome, Outcome::kTimedOut);
}

TEST_F(WardenTest, MemoryPastTheLimitEndsItWithAReason) {
  Line line = launch();
  // The hungry one is a grandchild: the limit is the group's.
  StartRequest r = request("at_mem", "perl -e '$x = \"x\" x (200 << 20); sleep 100' & wait");
  r.memory_bytes = int64_t{64} << 20;
  line.send(r.to_frame());
  const AttemptStatus status = line.end_of("at_mem");
  EXPECT_EQ(status.outcome, Outcome::kOutOfMemory);
  EXPECT_NE(status.detail.find("its limit"), std::string::npos) << status.detail;
}

TEST_F(WardenTest, TheLogIsBoundedAndSaysSo) {
  Line line = launch();
  StartRequest r = request("at_log", "head -c 1000000 /dev/zero | tr '\\0' x; echo end");
  r.log_bytes = 1000;
  line.send(r.to_frame());
  EXPECT_EQ(line.end_of("at_log").outcome, Outcome::kSucceeded);
  const std::string log = log_of("at_log");
  EXPECT_LT(log.size(), 1200u);
  EXPECT_NE(log.find("limit of 1000 bytes"), std::string::npos);
}

TEST_F(WardenTest, ARunningStageOutlivesTheServerAndIsAdopted) {
  // The "server" is a process of its own that is killed without warning.
  const pid_t server = ::fork();
  if (server == 0) {
    auto fd = launch_warden(dir_);
    if (!fd) ::_exit(1);
    (void)base::write_all(
        fd->get(),
        encode(request("at_live", "echo begin; echo $$ > pid; while [ ! -e go ]; do sleep 0.05; done; echo end; exit 7")
                   .to_frame()));
    ::pause();
  }
  ASSERT_TRUE(eventually([&] { return pid_in("pid") > 0; }));
  ::kill(server, SIGKILL);
  ::waitpid(server, nullptr, 0);
  EXPECT_FALSE(gone(pid_in("pid")));

  Line line = launch();  // finds the same warden
  line.send({.type = FrameType::kQuery, .fields = {"at_live"}});
  EXPECT_TRUE(line.wait(FrameType::kStarted, "at_live"));
  line.send({.type = FrameType::kQuery, .fields = {"at_other"}});
  EXPECT_TRUE(line.wait(FrameType::kUnknown, "at_other"));
  // Given up: a Start that was on its way when the server died does not run it any more.
  line.send(request("at_other", "touch ghost").to_frame());
  EXPECT_EQ(line.end_of("at_other").outcome, Outcome::kNotStarted);
  EXPECT_FALSE(std::filesystem::exists(dir_ / "cwd/ghost"));
  ASSERT_TRUE(base::write_file_durably(dir_ / "cwd/go", ""));
  EXPECT_EQ(line.end_of("at_live").exit_code, 7);
  EXPECT_EQ(log_of("at_live"), "begin\nend\n");
}

TEST_F(WardenTest, AnEndWhileNoServerRunsIsFoundLater) {
  {
    Line line = launch();
    line.send(request("at_alone", "sleep 0.3; exit 5").to_frame());
    ASSERT_TRUE(line.wait(FrameType::kStarted, "at_alone"));
  }
  // Nobody is connected and nothing runs any more: the warden ends of itself.
  EXPECT_TRUE(eventually([&] { return detail::lock_file(dir_ / "warden.lock", false).has_value(); }));
  Line line = launch();
  line.send({.type = FrameType::kQuery, .fields = {"at_alone"}});
  EXPECT_EQ(line.end_of("at_alone").exit_code, 5);
}

TEST_F(WardenTest, IfTheWardenDiesItsStagesEndAndAnotherTakesOver) {
  Line line = launch();
  line.send(request("at_orphan", "echo $$ > pid; sleep 1000").to_frame());
  ASSERT_TRUE(eventually([&] { return pid_in("pid") > 0; }));
  ucred peer{};
  socklen_t size = sizeof peer;
  Line second(std::move(*connect_warden(dir_)));
  ASSERT_EQ(::getsockopt(second.fd(), SOL_SOCKET, SO_PEERCRED, &peer, &size), 0);
  ::kill(peer.pid, SIGKILL);
  base::Result<base::Fd> fd = base::fail(base::Code::kUnavailable, "");
  ASSERT_TRUE(eventually([&] { return (fd = connect_warden(dir_)).has_value(); }));
  Line third(std::move(*fd));
  third.send({.type = FrameType::kQuery, .fields = {"at_orphan"}});
  EXPECT_EQ(third.end_of("at_orphan").outcome, Outcome::kLost);
  EXPECT_TRUE(gone(pid_in("pid")));
}

TEST_F(WardenTest, StopLeavesNoProcess) {
  Line line = launch();
  line.send(request("at_down", "setsid sleep 1000 & echo $! > side; echo $$ > pid; sleep 1000").to_frame());
  ASSERT_TRUE(eventually([&] { return pid_in("pid") > 0 && pid_in("side") > 0; }));
  ASSERT_TRUE(stop_warden(dir_, kLongUs));
  EXPECT_TRUE(gone(pid_in("pid")));
  EXPECT_TRUE(gone(pid_in("side")));
  Line again = launch();
  again.send({.type = FrameType::kQuery, .fields = {"at_down"}});
  EXPECT_EQ(again.end_of("at_down").outcome, Outcome::kKilled);
}

TEST(FrameTest, RoundTripsAndRefusesWhatDoesNotFit) {
  const Frame frame{.type = FrameType::kKill, .fields = {"a", "", std::string(70'000, 'x')}};
  FrameReader reader;
  const std::string bytes = encode(frame);
  for (const char c : bytes.substr(0, bytes.size() - 1)) {
    reader.feed({&c, 1});
  }
  EXPECT_FALSE(reader.next()->has_value());
  reader.feed(bytes.substr(bytes.size() - 1));
  const auto read = reader.next();
  ASSERT_TRUE(read && *read);
  EXPECT_EQ((*read)->fields, frame.fields);
  FrameReader bad;
  bad.feed(std::string("\xff\xff\xff\xff", 4));
  EXPECT_FALSE(bad.next());
}

}  // namespace
}  // namespace flow
