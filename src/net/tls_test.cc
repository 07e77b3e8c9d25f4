// TLS against a stock client (OpenSSL's own), and against what is no client at all.
#include "net/tls.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

#include <cstdlib>
#include <fstream>

#include "net/test_internal.h"

namespace net {
namespace {

void make_certificate(const base::Path& dir, const std::string& name) {
  const std::string command =
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=" + name +
      " -addext subjectAltName=DNS:localhost,DNS:" + name + ",IP:127.0.0.1 -keyout " + (dir / "key.new").string() +
      " -out " + (dir / "cert.new").string() + " 2>/dev/null";
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  // The key first: between the two renames the pair does not fit, and must be refused.
  std::filesystem::rename(dir / "key.new", dir / "key.pem");
  std::filesystem::rename(dir / "cert.new", dir / "cert.pem");
}

class TlsClient {
 public:
  explicit TlsClient(uint16_t port, std::string_view protocols = {}, int max_version = 0) : raw_(port) {
    ctx_ = SSL_CTX_new(TLS_client_method());
    if (max_version != 0) SSL_CTX_set_max_proto_version(ctx_, max_version);
    if (max_version != 0) SSL_CTX_set_security_level(ctx_, 0);
    ssl_ = SSL_new(ctx_);
    if (!protocols.empty())
      SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(protocols.data()),
                          static_cast<unsigned>(protocols.size()));
    SSL_set_fd(ssl_, raw_.fd());
    connected = SSL_connect(ssl_) == 1;
    if (!connected) reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
  }
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(ctx_);
  }
  bool send(std::string_view bytes) {
    return SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) == static_cast<int>(bytes.size());
  }
  std::string read(std::string_view until = {}) {
    std::string got;
    char piece[16384];
    while (until.empty() || !got.contains(until)) {
      const int n = SSL_read(ssl_, piece, sizeof piece);
      if (n <= 0) break;
      got.append(piece, static_cast<size_t>(n));
    }
    return got;
  }
  std::string subject() {
    X509* certificate = SSL_get0_peer_certificate(ssl_);
    char name[256] = "";
    if (certificate != nullptr) X509_NAME_oneline(X509_get_subject_name(certificate), name, sizeof name);
    return name;
  }
  std::string protocol() {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_, &name, &size);
    return {reinterpret_cast<const char*>(name), size};
  }
  bool peer_said_goodbye() { return (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0; }
  SSL* ssl() { return ssl_; }

  bool connected = false;
  const char* reason = nullptr;

 private:
  RawClient raw_;
  SSL_CTX* ctx_ = nullptr;
  SSL* ssl_ = nullptr;
};

class Tls : public testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    auto made = base::make_temp_dir(testing::TempDir(), "tls-");
    ASSERT_TRUE(made);
    dir = *made;
    make_certificate(dir, "first");
    auto loaded = TlsIdentity::load({dir / "cert.pem", dir / "key.pem"});
    ASSERT_TRUE(loaded) << loaded.error().message;
    identity = std::move(*loaded);
    test.options.tls = identity.get();
    test.options.limits.sweep_us = 10'000;
    test.options.limits.handshake_us = 300'000;
    test.route(Method::kGet, "/hello", [](Request& request, Response& response) -> base::Task<void> {
      response.send(200, "text/plain", request.peer.secure ? "hello, secure" : "hello, plain");
      co_return;
    });
    test.route(Method::kPost, "/size",
               [](Request& request, Response& response) -> base::Task<void> {
                 auto body = co_await request.read_body();
                 response.send(200, "text/plain", body ? std::to_string(body->size()) : body.error().message);
               },
               {.body_bytes = size_t{64} << 20});
    test.route(Method::kGet, "/file", [this](Request&, Response& response) -> base::Task<void> {
      auto fd = base::open_file(dir / "data", O_RDONLY);
      std::ignore = co_await response.begin(200, "application/octet-stream", kFileBytes);
      std::ignore = co_await response.send_file(fd->get(), 0, kFileBytes);
      std::ignore = co_await response.end();
    });
  }
  void TearDown() override {
    test.server.reset();
    std::ignore = base::remove_tree(dir);
  }

  static constexpr size_t kFileBytes = 3'000'001;
  static constexpr std::string_view kHello = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
  base::Path dir;
  std::unique_ptr<TlsIdentity> identity;
  TestServer test;
};

TEST_F(Tls, AnswersKeepsAliveAndSaysGoodbye) {
  test.start();
  TlsClient client(test.port());
  ASSERT_TRUE(client.connected) << client.reason;
  for (int i = 0; i < 3; ++i) {
    client.send(kHello);
    EXPECT_EQ(status_of(client.read("hello, secure")), 200);
  }
  client.send("GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(status_of(client.read()), 200);
  EXPECT_TRUE(client.peer_said_goodbye());
}

TEST_F(Tls, ProtocolsAndVersions) {
  test.start();
  TlsClient both(test.port(), "\x02h2\x08http/1.1");
  ASSERT_TRUE(both.connected);
  EXPECT_EQ(both.protocol(), "h2");
  TlsClient none(test.port(), "\x02h3");
  EXPECT_FALSE(none.connected);
  EXPECT_STREQ(none.reason, "tlsv1 alert no application protocol");
  EXPECT_TRUE(TlsClient(test.port(), {}, TLS1_2_VERSION).connected);
  EXPECT_FALSE(TlsClient(test.port(), {}, TLS1_1_VERSION).connected);
}

TEST_F(Tls, RenegotiationIsRefused) {
  test.start();
  TlsClient client(test.port(), {}, TLS1_2_VERSION);
  ASSERT_TRUE(client.connected);
  SSL_renegotiate(client.ssl());
  EXPECT_LE(SSL_do_handshake(client.ssl()), 0);
}

TEST_F(Tls, LargeBodiesAndFilesPassWhole) {
  std::string data(kFileBytes, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 31 >> 3);
  ASSERT_TRUE(base::write_file_durably(dir / "data", data));
  test.start();
  TlsClient client(test.port());
  client.send("POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n");
  const std::string piece(1'000'000, 'x');
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client.send(piece));
  EXPECT_TRUE(client.read("5000000").ends_with("5000000"));
  client.send("GET /file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const std::string answer = client.read();
  const size_t body = answer.find("\r\n\r\n") + 4;
  ASSERT_EQ(answer.size() - body, data.size());
  EXPECT_TRUE(std::string_view(answer).substr(body) == data);
}

TEST_F(Tls, PlainHttpIsToldWhatToDo) {
  test.start();
  const std::string answer = test.exchange(kHello);
  EXPECT_EQ(status_of(answer), 400);
  EXPECT_TRUE(answer.contains("https://")) << answer;
}

TEST_F(Tls, GarbageAndSilenceEndByThemselves) {
  test.start();
  RawClient silent(test.port());
  RawClient half(test.port());
  half.send("\x16\x03\x01\x02");
  EXPECT_EQ(silent.read(), "");
  half.read();
  unsigned seed = 7;
  for (int i = 0; i < 200; ++i) {
    std::string bytes = i % 2 == 0 ? std::string("\x16\x03\x01\x00\x7a\x01\x00\x00\x76\x03\x03", 11) : std::string();
    for (int k = 0; k < 200; ++k) bytes += static_cast<char>(rand_r(&seed));
    RawClient client(test.port());
    client.send(bytes);
    client.close();
  }
  EXPECT_TRUE(TlsClient(test.port()).connected);
  EXPECT_TRUE(eventually([&] { return test.server->connections() == 0; }));
}

TEST_F(Tls, HandshakesUnderWayAreLimited) {
  test.options.limits.handshakes = 2;
  test.options.limits.handshake_us = 60'000'000;
  test.start();
  RawClient one(test.port()), two(test.port());
  ASSERT_TRUE(eventually([&] { return test.server->connections() == 2; }));
  RawClient three(test.port());
  EXPECT_EQ(three.read(), "");
  one.close();
  EXPECT_TRUE(eventually([&] { return TlsClient(test.port()).connected; }));
}

TEST_F(Tls, ANewPairIsForNewConnectionsAndABadOneIsRefused) {
  test.start();
  TlsClient old(test.port());
  EXPECT_EQ(old.subject(), "/CN=first");
  make_certificate(dir, "second");
  EXPECT_TRUE(identity->refresh());
  EXPECT_EQ(TlsClient(test.port()).subject(), "/CN=second");
  old.send(kHello);
  EXPECT_EQ(status_of(old.read("hello, secure")), 200);

  std::ofstream(dir / "key.pem") << "-----BEGIN PRIVATE KEY-----\nnot a key\n";
  EXPECT_FALSE(identity->refresh());
  EXPECT_TRUE(identity->refresh()) << "looked at once, not again and again";
  EXPECT_EQ(TlsClient(test.port()).subject(), "/CN=second");
  std::filesystem::remove(dir / "cert.pem");
  EXPECT_FALSE(identity->refresh());
  make_certificate(dir, "third");
  EXPECT_TRUE(identity->refresh());
  EXPECT_EQ(TlsClient(test.port()).subject(), "/CN=third");
}

TEST_F(Tls, NamesOfTheCertificate) {
  EXPECT_TRUE(identity->covers("localhost"));
  EXPECT_TRUE(identity->covers("127.0.0.1"));
  EXPECT_FALSE(identity->covers("::1"));
  EXPECT_EQ(identity->first_name(), "localhost");
  EXPECT_TRUE(identity->is_self_made());
  EXPECT_TRUE(identity->authority_pem().starts_with("-----BEGIN CERTIFICATE-----"));
}

TEST_F(Tls, WhatIsWrongWithFilesIsSaid) {
  const auto message = [&](const base::Path& certificate, const base::Path& key) {
    auto loaded = TlsIdentity::load({certificate, key});
    return loaded ? std::string() : loaded.error().message;
  };
  EXPECT_TRUE(message(dir / "none.pem", dir / "key.pem").contains("none.pem"));
  EXPECT_TRUE(message(dir / "cert.pem", dir / "cert.pem").contains("tls_key"));
  make_certificate(dir, "first");
  std::filesystem::rename(dir / "key.pem", dir / "other.pem");
  make_certificate(dir, "second");
  EXPECT_TRUE(message(dir / "cert.pem", dir / "other.pem").contains("belong"));
}

TEST_F(Tls, ADrainEndsHandshakesAndConnections) {
  test.options.limits.handshake_us = 60'000'000;
  test.start();
  RawClient silent(test.port());
  TlsClient idle(test.port());
  ASSERT_TRUE(eventually([&] { return test.server->connections() == 2; }));
  EXPECT_TRUE(test.server->drain(5'000'000));
  EXPECT_EQ(idle.read(), "");
  EXPECT_TRUE(idle.peer_said_goodbye());
}

}  // namespace
}  // namespace net
