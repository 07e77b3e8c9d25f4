#include "server/lab_children.h"

#include "flow/held.h"
#include "net/client.h"

namespace server {
namespace {

constexpr int64_t kAnswerUs = 1'500'000;  // a keeper that waits must not hold the server's end up
constexpr size_t kAnswerBytes = size_t{4} << 20;
constexpr int64_t kGraceUs = 10'000'000;  // kernels are asked to end before they are made to

class LabChildren final : public lab::Children {
 public:
  explicit LabChildren(base::Path dir) : dir_(std::move(dir)) {}

  void observe(std::function<void(lab::ChildNews)> sink) override {
    held_ = std::make_unique<flow::Held>(dir_, [sink = std::move(sink)](flow::HeldNews news) {
      const auto outcome = news.status.outcome;
      sink({.id = std::move(news.id),
            .runs = news.runs,
            .clean = outcome == flow::Outcome::kSucceeded || outcome == flow::Outcome::kKilled,
            .detail = std::move(news.status.detail)});
    });
  }

  void start(lab::ChildSpec spec) override {
    flow::StartRequest request{.attempt = spec.id, .cwd = spec.cwd, .cmd = spec.command, .env = {}};
    for (const auto& [key, value] : spec.env) request.env.push_back(key + "=" + value);
    request.memory_bytes = spec.memory_bytes;
    request.grace_us = kGraceUs;
    held_->start(request);
  }
  void adopt(std::string_view id) override { held_->adopt(id); }
  void stop(std::string_view id, std::string_view why) override { held_->stop(id, why); }
  base::Path log_of(std::string_view id) const override { return flow::attempt_dir(dir_, id) / "log"; }

 private:
  base::Path dir_;
  std::unique_ptr<flow::Held> held_;
};

}  // namespace

std::unique_ptr<lab::Children> lab_children(base::Path dir) { return std::make_unique<LabChildren>(std::move(dir)); }

lab::Ask lab_ask() {
  return [](const lab::Question& question) -> base::Result<std::string> {
    thread_local net::Client client;
    net::ClientRequest request;
    request.url = "http://localhost" + question.path;
    request.unix_socket = question.socket;
    request.headers.emplace_back("Authorization", "token " + question.token);
    request.timeout_us = kAnswerUs;
    request.max_answer_bytes = kAnswerBytes;
    TRY_SET(auto answer, client.call(request));
    if (answer.status / 100 != 2)
      return base::fail(base::Code::kUnavailable, "the notebook server answered " + std::to_string(answer.status));
    return std::move(answer.body);
  };
}

}  // namespace server
