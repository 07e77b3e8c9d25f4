#include "repository/sequences.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "base/clock.h"

namespace repository {
namespace {

using serve::DataType;
using serve::Tensor;
using testing::HasSubstr;

int32_t value_of(const Tensor& tensor) {
  int32_t value = 0;
  std::memcpy(&value, tensor.bytes.data(), sizeof value);
  return value;
}

Tensor number(const std::string& name, int32_t value) {
  return {.name = name,
          .type = DataType::kInt32,
          .shape = {1, 1},
          .bytes = {reinterpret_cast<const char*>(&value), sizeof value}};
}

// Adds what comes to its state: 1000 × START + 100 × END + the sum so far. Two requests at once are an error of ours.
class Accumulator final : public serve::Model {
 public:
  Accumulator() {
    for (const char* name : {"INPUT", "START", "READY", "END", "SUM_IN"})
      inputs_.push_back({name, DataType::kInt32, {-1, 1}});
    inputs_.push_back({"CORRID", DataType::kUint64, {-1, 1}});
    for (const char* name : {"OUTPUT", "SUM_OUT"}) outputs_.push_back({name, DataType::kInt32, {-1, 1}});
  }
  const std::vector<serve::TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<serve::TensorInfo>& outputs() const override { return outputs_; }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string_view platform() const override { return "test"; }
  base::Result<std::vector<Tensor>> run(std::span<const Tensor> inputs) const override {
    const auto at = [&](std::string_view name) { return value_of(*std::ranges::find(inputs, name, &Tensor::name)); };
    EXPECT_EQ(at("READY"), 1);
    if (at("INPUT") < 0) return base::invalid("negative");
    const int32_t sum = at("SUM_IN") + at("INPUT");
    return std::vector<Tensor>{number("OUTPUT", 1000 * at("START") + 100 * at("END") + sum), number("SUM_OUT", sum)};
  }

 private:
  std::vector<serve::TensorInfo> inputs_, outputs_;
  std::vector<std::string> classes_;
};

constexpr std::string_view kConfig = R"(
name: "sums" max_batch_size: 2
sequence_batching {
  max_sequence_idle_microseconds: 60000000
  control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1] } }
  control_input { name: "READY" control { kind: CONTROL_SEQUENCE_READY int32_false_true: [0, 1] } }
  control_input { name: "END" control { kind: CONTROL_SEQUENCE_END int32_false_true: [0, 1] } }
  control_input { name: "CORRID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } }
  state { input_name: "SUM_IN" output_name: "SUM_OUT" data_type: TYPE_INT32 dims: 1
          initial_state { data_type: TYPE_INT32 dims: 1 zero_data: true name: "zero" } }
})";

class Sequences : public testing::Test {
 protected:
  void make(std::string_view config) {
    const auto read = read_config(config, "config.pbtxt");
    ASSERT_TRUE(read) << read.error().message;
    ASSERT_TRUE(check_sequences(read->config));
    auto made = make_sequenced(std::make_unique<Accumulator>(), read->config, "");
    ASSERT_TRUE(made) << made.error().message;
    model_ = std::move(*made);
  }
  // "S": start, "E": end.
  std::string ask(const std::string& id, int32_t value, std::string_view flags = "", int64_t deadline_us = 0) {
    serve::Call call{.sequence = {.id = id, .start = flags.contains('S'), .end = flags.contains('E')}};
    if (deadline_us) call.deadline_mono_us = base::system_clock().mono_us() + deadline_us;
    const Tensor input = number("INPUT", value);
    const auto outputs = model_->run_for({&input, 1}, call);
    if (!outputs) return outputs.error().message;
    EXPECT_EQ(outputs->size(), 1U) << "state is not shown";
    return std::to_string(value_of((*outputs)[0]));
  }
  std::unique_ptr<serve::Model> model_;
};

TEST_F(Sequences, CarryStateAndControls) {
  make(kConfig);
  ASSERT_EQ(model_->inputs().size(), 1U);
  EXPECT_EQ(model_->inputs()[0].name, "INPUT");
  EXPECT_EQ(ask("7", 1, "S"), "1001");
  EXPECT_EQ(ask("8", 10, "S"), "1010") << "another one has its own state";
  EXPECT_EQ(ask("7", 2), "3");
  EXPECT_EQ(ask("7", -1), "negative");
  EXPECT_EQ(ask("7", 3), "6") << "a refused request changes nothing";
  EXPECT_EQ(ask("7", 0, "E"), "106");
  EXPECT_THAT(ask("7", 1), HasSubstr("must specify the START flag"));
  EXPECT_EQ(ask("8", 5, "S"), "1005") << "started anew";
  EXPECT_THAT(ask("", 1, "S"), HasSubstr("non-zero or non-empty correlation ID"));
  EXPECT_THAT(ask("seven", 1, "S"), HasSubstr("takes numbers as sequence_id"));
}

TEST_F(Sequences, OneMoreWaitsForAPlace) {
  make(kConfig);  // direct: max_batch_size places
  ask("1", 1, "S"), ask("2", 1, "S");
  EXPECT_THAT(ask("3", 1, "S", 20'000), HasSubstr("time was over"));
  std::thread third([&] { EXPECT_EQ(ask("3", 9, "S"), "1009"); });
  EXPECT_EQ(ask("1", 1, "E"), "102");
  third.join();
  EXPECT_EQ(ask("3", 1), "10");
}

TEST_F(Sequences, OldestHasPlacesOfItsOwnAndIdleOnesGo) {
  std::string config(kConfig);
  config.replace(config.find("max_sequence_idle_microseconds: 60000000"), 40,
                 "oldest { max_candidate_sequences: 3 } max_sequence_idle_microseconds: 1000");
  make(config);
  for (const char* id : {"1", "2", "3"}) EXPECT_EQ(ask(id, 1, "S"), "1001");
  EXPECT_EQ(ask("4", 1, "S"), "1001") << "one of the others has rested too long";
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_THAT(ask("4", 1), HasSubstr("START flag"));
}

TEST_F(Sequences, ManyThreadsNeverMixWhatBelongsTogether) {
  std::string config(kConfig);
  config.replace(config.find("max_batch_size: 2"), 17, "max_batch_size: 9");
  make(config);
  std::vector<std::thread> threads;
  for (int t = 1; t <= 8; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 50; ++round) {
        EXPECT_EQ(ask(std::to_string(t), t, "S"), std::to_string(1000 + t));
        for (int i = 2; i < 10; ++i) EXPECT_EQ(ask(std::to_string(t), t), std::to_string(i * t));
        EXPECT_EQ(ask(std::to_string(t), t, "E"), std::to_string(100 + 10 * t));
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(SequenceConfig, IsChecked) {
  const auto problem = [](std::string_view inside) {
    const auto read = read_config("sequence_batching { " + std::string(inside) + " }", "config.pbtxt");
    if (!read) return read.error().message;
    const auto checked = check_sequences(read->config);
    if (!checked) return checked.error().message;
    auto made = make_sequenced(std::make_unique<Accumulator>(), read->config, "");
    return made ? "no error" : made.error().message;
  };
  EXPECT_EQ(problem(""), "no error");
  EXPECT_THAT(problem("control_input { name: \"START\" control { kind: CONTROL_SEQUENCE_START } }"),
              HasSubstr("needs one of int32_false_true"));
  EXPECT_THAT(
      problem("control_input { name: \"X\" control { kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1] } }"),
      HasSubstr("the model has no input 'X' of type INT32"));
  EXPECT_THAT(
      problem("control_input { name: \"CORRID\" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32 } }"),
      HasSubstr("data_type of a CORRID"));
  EXPECT_THAT(problem("state { input_name: \"SUM_IN\" output_name: \"NO\" data_type: TYPE_INT32 dims: 1 }"),
              HasSubstr("no input 'SUM_IN' and output 'NO'"));
  EXPECT_THAT(problem("state { input_name: \"SUM_IN\" output_name: \"SUM_OUT\" data_type: TYPE_INT32 dims: 1 "
                      "initial_state { data_file: \"../x\" } }"),
              HasSubstr("not the plain name"));
  EXPECT_THAT(problem("oldest { max_candidate_sequences: -1 }"), HasSubstr("allowed: 0 to"));
}

}  // namespace
}  // namespace repository
