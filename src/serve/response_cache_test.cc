#include "serve/response_cache.h"

#include <gtest/gtest.h>

#include "serve/test_models.h"

namespace serve {
namespace {

ResponseCache::Answer answer(size_t bytes) {
  return {{Tensor{.name = "y", .type = DataType::kUint8, .shape = {1}, .bytes = std::string(bytes, 'x')}}, ""};
}

TEST(ResponseCache, StaysWithinItsBytesAndKeepsWhatIsUsed) {
  ResponseCache cache(10'000);
  for (const char* key : {"a", "b", "c"}) cache.put(key, answer(2000));
  EXPECT_TRUE(cache.find("a"));
  cache.put("d", answer(2000));
  EXPECT_LE(cache.bytes(), 10'000U);
  EXPECT_TRUE(cache.find("a"));
  cache.put("e", answer(2000));
  EXPECT_FALSE(cache.find("b")) << "the least recently used goes";
  EXPECT_TRUE(cache.find("a"));
  cache.put("whale", answer(20'000));
  EXPECT_FALSE(cache.find("whale"));
  EXPECT_TRUE(cache.find("e")) << "what does not fit displaces nothing";
}

std::vector<Tensor> row(float first) {
  const float cells[] = {first, 3.5F, 1.4F, 0.2F};
  return {{.name = "X",
           .type = DataType::kFp32,
           .shape = {1, 4},
           .bytes = {reinterpret_cast<const char*>(cells), sizeof cells}}};
}

TEST(ResponseCache, AnswersWhatWasAskedBefore) {
  auto cache = std::make_shared<ResponseCache>(1 << 20);
  const auto load = [] {
    return std::shared_ptr<const Predictor>(Predictor::load(test_models() / "iris", {}).value());
  };
  const auto model = load();
  const auto one = make_cached(model, cache), two = make_cached(load(), cache);
  const auto first = one->infer(row(5.1F)), again = one->infer(row(5.1F)), plain = model->infer(row(5.1F));
  ASSERT_TRUE(first && again && plain);
  for (size_t i = 0; i < plain->size(); ++i) {
    EXPECT_EQ((*again)[i].bytes, (*plain)[i].bytes);
    EXPECT_EQ((*again)[i].shape, (*plain)[i].shape);
  }
  EXPECT_EQ(one->cache_statistics()->hits, 1U);
  ASSERT_TRUE(one->infer(row(5.2F)));
  Call call;
  call.params = "{\"a\":1}";
  ASSERT_TRUE(one->infer(row(5.1F), call));
  EXPECT_EQ(one->cache_statistics()->hits, 1U) << "other values, other params";
  ASSERT_TRUE(two->infer(row(5.1F)));
  EXPECT_EQ(two->cache_statistics()->hits, 0U) << "another model";
  EXPECT_EQ(two->cache_statistics()->misses, 1U);
  const Tensor wrong{.name = "X", .type = DataType::kFp32, .shape = {1}, .bytes = "abcd"};
  EXPECT_FALSE(one->infer({&wrong, 1}));
  EXPECT_FALSE(one->infer({&wrong, 1})) << "errors are not kept";
}

}  // namespace
}  // namespace serve
