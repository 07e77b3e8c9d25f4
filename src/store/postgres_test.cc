// What only PostgreSQL can do to us: serialisation failures, lost connections, commits whose answer never came.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/fs.h"
#include "store/store.h"
#include "store/testing.h"

namespace store {
namespace {

using base::Code;
using base::Result;

constexpr Migration kThings[] = {{1,
                                  "CREATE TABLE things (project $int NOT NULL, name $text NOT NULL, runs $int NOT "
                                  "NULL, PRIMARY KEY (project, name));"}};

// Between the store and PostgreSQL: on demand it cuts the connection around a COMMIT.
class Proxy {
 public:
  enum class Cut { kNone, kBeforeCommit, kAfterCommit };

  explicit Proxy(int server_port)
      : server_port_(server_port), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_.get(), 64), 0);
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    accepter_ = std::thread([this] { accept_all(); });
  }
  ~Proxy() {
    stopping_ = true;
    accepter_.join();
    for (std::thread& thread : pumps_) thread.join();
  }
  int port() const { return port_; }
  void cut_next_commit(Cut cut) { cut_ = cut; }
  bool was_cut() const { return cut_ == Cut::kNone; }

 private:
  void accept_all() {
    while (!stopping_) {
      pollfd wait{listener_.get(), POLLIN, 0};
      if (::poll(&wait, 1, 50) == 1)
        pumps_.emplace_back([this, client = ::accept(listener_.get(), nullptr, nullptr)] { pump(base::Fd(client)); });
    }
  }
  void pump(base::Fd client) {
    base::Fd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{.sin_family = AF_INET,
                        .sin_port = htons(static_cast<uint16_t>(server_port_)),
                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (::connect(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return;
    bool cut_after_answer = false;
    std::string buffer(65536, '\0');
    while (!stopping_) {
      pollfd wait[] = {{client.get(), POLLIN, 0}, {server.get(), POLLIN, 0}};
      ::poll(wait, 2, 50);
      if (wait[0].revents) {
        const ssize_t n = ::read(client.get(), buffer.data(), buffer.size());
        if (n <= 0) return;
        const std::string_view bytes(buffer.data(), static_cast<size_t>(n));
        if (bytes.find("; COMMIT") != bytes.npos && cut_ != Cut::kNone) {
          if (cut_.exchange(Cut::kNone) == Cut::kBeforeCommit) return;
          cut_after_answer = true;
        }
        if (!base::write_all(server.get(), bytes)) return;
      }
      if (wait[1].revents) {
        const ssize_t n = ::read(server.get(), buffer.data(), buffer.size());
        if (n <= 0 || cut_after_answer) return;
        if (!base::write_all(client.get(), {buffer.data(), static_cast<size_t>(n)})) return;
      }
    }
  }

  const int server_port_;
  base::Fd listener_;
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<Cut> cut_{Cut::kNone};
  std::thread accepter_;
  std::vector<std::thread> pumps_;
};

class PostgresTest : public testing::EngineTest {
 protected:
  PostgresTest() : EngineTest({{"things", kThings}}) {}

  // Counts in the row itself how often the function's effect was stored.
  auto count_up(std::atomic<int>& ran) {
    return write([&](Tx& tx) -> Result<int> {
      ++ran;
      tx.exec(
          "INSERT INTO things (project, name, runs) VALUES (1, 'a', 1)"
          " ON CONFLICT (project, name) DO UPDATE SET runs = things.runs + 1");
      return 1;
    });
  }
  int64_t stored_runs() {
    return *read([](Tx& tx) -> Result<int64_t> { return tx.query_i64("SELECT runs FROM things").value_or(0); });
  }
  void open_through(Proxy& proxy) {
    store_.reset();
    options_.url = "postgresql://lathe@127.0.0.1:" + std::to_string(proxy.port()) + "/lathe";
    open();
  }
  static int server_port() {
    const std::string url = testing::postgres_url();
    const size_t at = url.find(':', url.find('@'));
    return std::stoi(url.substr(at + 1));
  }
};
INSTANTIATE_TEST_SUITE_P(Engines, PostgresTest, ::testing::Values(Backend::kPostgres), testing::engine_name);

TEST_P(PostgresTest, ASerialisationFailureRunsTheFunctionAgain) {
  for (const char* state : {"40001", "40P01"}) {
    int ran = 0;
    auto done = write([&](Tx& tx) -> Result<int> {
      tx.exec("INSERT INTO things (project, name, runs) VALUES (1, ?, 1)", state);
      if (++ran < 3)
        tx.exec("DO $$ BEGIN RAISE EXCEPTION 'collision' USING ERRCODE = '" + std::string(state) + "'; END $$");
      return ran;
    });
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(*done, 3);
  }
  EXPECT_EQ(*read([](Tx& tx) -> Result<int64_t> { return tx.query_i64("SELECT count(*) FROM things").value_or(-1); }),
            2);
}

TEST_P(PostgresTest, ARealDeadlockIsSettled) {
  ASSERT_TRUE(write([](Tx& tx) -> Result<int64_t> {
    return tx.exec("INSERT INTO things (project, name, runs) VALUES (1, 'a', 0), (1, 'b', 0)");
  }));
  std::vector<std::thread> threads;
  for (const auto& [first, second] : {std::pair("a", "b"), std::pair("b", "a")}) {
    threads.emplace_back([&, first, second] {
      auto done = write([&](Tx& tx) -> Result<int> {
        tx.exec("UPDATE things SET runs = runs + 1 WHERE name = ?", first);
        tx.exec("SELECT pg_sleep(0.2)");
        tx.exec("UPDATE things SET runs = runs + 1 WHERE name = ?", second);
        return 1;
      });
      EXPECT_TRUE(done) << done.error().message;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(*read([](Tx& tx) -> Result<int64_t> { return tx.query_i64("SELECT sum(runs) FROM things").value_or(-1); }),
            4);
}

TEST_P(PostgresTest, AFailureThatDoesNotEndIsReported) {
  int ran = 0;
  auto failed = write([&](Tx& tx) -> Result<int> {
    ++ran;
    tx.exec("DO $$ BEGIN RAISE EXCEPTION 'collision' USING ERRCODE = '40001'; END $$");
    return 1;
  });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Code::kConflict);
  EXPECT_GT(ran, 1);
  EXPECT_LT(ran, 20);
}

TEST_P(PostgresTest, ALostConnectionRunsTheFunctionAgain) {
  int ran = 0;
  auto done = write([&](Tx& tx) -> Result<int> {
    tx.exec("INSERT INTO things (project, name, runs) VALUES (1, 'a', 1)");
    if (++ran == 1) tx.exec("SELECT pg_terminate_backend(pg_backend_pid())");
    return ran;
  });
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(stored_runs(), 1);
  ran = 0;
  auto seen = read([&](Tx& tx) -> Result<int64_t> {
    if (++ran == 1) tx.exec("SELECT pg_terminate_backend(pg_backend_pid())");
    return tx.query_i64("SELECT runs FROM things").value_or(-1);
  });
  ASSERT_TRUE(seen) << seen.error().message;
  EXPECT_EQ(*seen, 1);
}

TEST_P(PostgresTest, ACommitThatNeverArrivedIsDoneOnce) {
  Proxy proxy(server_port());
  open_through(proxy);
  std::atomic<int> ran{0};
  proxy.cut_next_commit(Proxy::Cut::kBeforeCommit);
  auto done = count_up(ran);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(proxy.was_cut());
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(stored_runs(), 1);
  store_.reset();
}

TEST_P(PostgresTest, ACommitWhoseAnswerWasLostIsNotDoneTwice) {
  Proxy proxy(server_port());
  open_through(proxy);
  std::atomic<int> ran{0};
  proxy.cut_next_commit(Proxy::Cut::kAfterCommit);
  auto done = count_up(ran);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(proxy.was_cut());
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(stored_runs(), 1);
  store_.reset();
}

// The guard's session ends: the lock is gone until it is taken again, and writes wait for that.
TEST_P(PostgresTest, TheServersLockIsTakenAgain) {
  auto killed = write([&](Tx& tx) -> Result<int64_t> {
    return tx
        .query_i64(
            "SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
            " WHERE l.locktype = 'advisory' AND l.granted AND a.query LIKE '%lathe_events%'"
            " AND a.application_name = 'lathe a test' AND a.datname = current_database()")
        .value_or(-1);
  });
  ASSERT_TRUE(killed) << killed.error().message;
  std::atomic<int> ran{0};
  auto done = count_up(ran);
  ASSERT_TRUE(done) << done.error().message;
  Options other = options_;
  for (int i = 0; i < 50; ++i) {  // until the guard has noticed
    auto second = Store::open(other, modules_);
    ASSERT_FALSE(second);
    if (second.error().message.find("a test") != std::string::npos) return;
  }
  FAIL() << "the lock was not taken again";
}

TEST_P(PostgresTest, WakeUpsReachOtherProcesses) {
  auto killed = write([](Tx& tx) -> Result<int> { return tx.wake_event_listeners(), 1; });
  ASSERT_TRUE(killed);
  PGconn* listener = PQconnectdb(testing::postgres_url());
  PQclear(PQexec(listener, "LISTEN lathe_events"));
  ASSERT_TRUE(write([](Tx& tx) -> Result<int> { return tx.wake_event_listeners(), 1; }));
  pollfd wait{PQsocket(listener), POLLIN, 0};
  EXPECT_EQ(::poll(&wait, 1, 5'000), 1);
  PQfinish(listener);
}

TEST_P(PostgresTest, UnreachableIsSaidClearly) {
  auto refused = Store::open({.url = "postgresql://lathe@127.0.0.1:1/lathe"}, modules_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace store
