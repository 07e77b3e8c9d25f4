// What a window measures and how it is judged: false alarms and detection on traffic like the digits, data quality,
// the stored form.
#include "watch/window.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "watch/testing.h"

namespace watch {
namespace {

using testing::Digits;

std::shared_ptr<const Profile> profile_of(const std::vector<testing::Image>& images) {
  const auto labels = testing::labels_of_images(images);
  auto made = make_profile(testing::table_of(images), labels, labels);
  EXPECT_TRUE(made) << made.error().message;
  return std::make_shared<const Profile>(std::move(*made));
}

WindowNumbers window_of(const std::shared_ptr<const Profile>& profile, const std::vector<testing::Image>& images) {
  WindowRows rows(profile);
  for (const auto& image : images) rows.add(testing::request_of("pr_x", 1, 1, image, std::to_string(image.digit)));
  return measure(rows, MonitorSpec{});
}

TEST(AlertRule, CleanTrafficAlarmsInAtMostOneOfAHundredSeeds) {
  constexpr int kSeeds = 100, kWindows = 3;
  int alarms = 0, drifted_windows = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    Digits digits(static_cast<uint64_t>(seed));
    const auto profile = profile_of(digits.images(360));
    bool before = false, alarm = false;
    for (int w = 0; w < kWindows; ++w) {
      const WindowNumbers numbers = window_of(profile, digits.images(200));
      ASSERT_TRUE(numbers.judged);
      EXPECT_FALSE(numbers.bad_quality) << "seed " << seed;
      alarm |= before && numbers.drifted;
      before = numbers.drifted;
      drifted_windows += numbers.drifted;
    }
    alarms += alarm;
  }
  EXPECT_LE(alarms, kSeeds / 100);
  EXPECT_LE(drifted_windows, kSeeds * kWindows / 100);
}

TEST(AlertRule, SmallBaselinesDoNotAlarmEither) {
  int drifted = 0;
  for (int seed = 1; seed <= 50; ++seed) {
    Digits digits(static_cast<uint64_t>(seed));
    drifted += window_of(profile_of(digits.images(80)), digits.images(200)).drifted;
  }
  EXPECT_LE(drifted, 1);
}

TEST(AlertRule, ANewScannerIsSeenInEveryWindow) {
  for (int seed = 1; seed <= 20; ++seed) {
    Digits digits(static_cast<uint64_t>(seed));
    const auto profile = profile_of(digits.images(360));
    for (int w = 0; w < 2; ++w) EXPECT_TRUE(window_of(profile, digits.images(200, 0.6)).drifted) << "seed " << seed;
  }
}

TEST(AlertRule, AShiftInOneFeatureIsEnough) {
  Digits digits(3);
  const auto profile = profile_of(digits.images(360));
  auto images = digits.images(200);
  for (auto& image : images) image.pixels[9] = 16 - image.pixels[9] / 2;
  const WindowNumbers numbers = window_of(profile, images);
  EXPECT_TRUE(numbers.drifted);
  EXPECT_TRUE(numbers.features[9].drifted);
  EXPECT_GE(numbers.features[9].psi, 0.25);
  EXPECT_LE(numbers.features[9].p_holm, 0.01);
  EXPECT_LT(numbers.drifted_share, 0.3);
}

TEST(AlertRule, ConstantFeaturesStandApart) {
  Digits digits(4);
  const auto profile = profile_of(digits.images(360));
  EXPECT_EQ(profile->features[0].kind, FeatureKind::kConstant);
  auto images = digits.images(200);
  for (int i = 0; i < 5; ++i) images[static_cast<size_t>(i)].pixels[0] = 1;  // a few speckles
  WindowNumbers numbers = window_of(profile, images);
  EXPECT_EQ(numbers.family, 48 + 1);  // varying pixels and the predictions
  EXPECT_EQ(numbers.constant_family, 16);
  EXPECT_EQ(numbers.features[0].off_constant, 5);
  EXPECT_FALSE(numbers.drifted);
  for (int i = 0; i < 60; ++i) images[static_cast<size_t>(i)].pixels[0] = 3;
  numbers = window_of(profile, images);
  EXPECT_TRUE(numbers.features[0].drifted);
  EXPECT_TRUE(numbers.drifted);
}

TEST(AlertRule, PredictionsDriftToo) {
  Digits digits(5);
  const auto profile = profile_of(digits.images(360));
  WindowRows rows(profile);
  for (const auto& image : digits.images(200)) {
    rows.add(testing::request_of("pr_x", 1, 1, image, image.digit < 6 ? "1" : std::to_string(image.digit)));
  }
  const WindowNumbers numbers = measure(rows, MonitorSpec{});
  EXPECT_TRUE(numbers.predictions.drifted);
  EXPECT_TRUE(numbers.drifted);
}

TEST(Window, TooFewRowsAreRecordedAndNotJudged) {
  Digits digits(6);
  const auto profile = profile_of(digits.images(360));
  const WindowNumbers numbers = window_of(profile, digits.images(static_cast<int>(kMinWindowRows) - 1, 0.6));
  EXPECT_FALSE(numbers.judged);
  EXPECT_FALSE(numbers.drifted);
  EXPECT_EQ(numbers.rows, kMinWindowRows - 1);
}

class Mixed : public ::testing::Test {
 protected:
  // A number and a text per row.
  static Request request(double age, std::string city) {
    return {.id = "pr_x",
            .features = {"age"},
            .rows = {age},
            .text_features = {"city"},
            .texts = {std::move(city)},
            .labels = {"yes"},
            .row_count = 1};
  }
  Mixed() {
    stats::Numbers ages;
    stats::Texts cities;
    std::vector<std::string> predictions;
    for (int i = 0; i < 300; ++i) {
      ages.push_back(20 + i % 50);
      cities.emplace_back(i % 3 == 0 ? "Bern" : i % 3 == 1 ? "Ulm" : "Wien");
      predictions.emplace_back(i % 2 == 0 ? "yes" : "no");
    }
    stats::Table table{{{"age", ages}, {"city", cities}}};
    profile_ = std::make_shared<const Profile>(*make_profile(table, predictions, {}));
  }
  template <class F>
  WindowNumbers window(F change) {
    WindowRows rows(profile_);
    for (int i = 0; i < 120; ++i) {
      Request r = request(20 + (i * 7) % 50, i % 3 == 0 ? "Bern" : i % 3 == 1 ? "Ulm" : "Wien");
      r.labels = {i % 2 == 0 ? "yes" : "no"};
      change(i, r);
      rows.add(r);
    }
    return measure(rows, MonitorSpec{});
  }
  std::shared_ptr<const Profile> profile_;
};

TEST_F(Mixed, CleanRowsAreClean) {
  const WindowNumbers numbers = window([](int, Request&) {});
  EXPECT_FALSE(numbers.drifted);
  EXPECT_FALSE(numbers.bad_quality);
  EXPECT_EQ(numbers.features[1].kind, FeatureKind::kCategory);
}

TEST_F(Mixed, MissingValuesAreCounted) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  const WindowNumbers numbers = window([&](int i, Request& r) {
    if (i % 4 == 0) r.rows[0] = i % 8 == 0 ? nan : infinity;
    if (i < 3) r.texts[0] = "";
  });
  EXPECT_EQ(numbers.features[0].missing, 30);
  EXPECT_TRUE(numbers.features[0].bad_quality);
  EXPECT_EQ(numbers.features[1].missing, 3);
  EXPECT_FALSE(numbers.features[1].bad_quality) << "three of 120 is no finding";
  EXPECT_TRUE(numbers.bad_quality);
  EXPECT_FALSE(numbers.drifted) << "what is there is as it was";
}

TEST_F(Mixed, AFeatureThatIsNotSentIsMissing) {
  const WindowNumbers numbers = window([](int, Request& r) { r.features = {"agee"}; });
  EXPECT_EQ(numbers.features[0].missing, 120);
  EXPECT_TRUE(numbers.bad_quality);
}

TEST_F(Mixed, OfARedactedFeatureNothingIsKnown) {
  const WindowNumbers numbers = window([](int, Request& r) {
    r.features.clear(), r.rows.clear();
    r.redacted = {"age"};
  });
  EXPECT_EQ(numbers.features[0].missing, 0);
  EXPECT_FALSE(numbers.features[0].tested);
  EXPECT_FALSE(numbers.bad_quality);
  EXPECT_TRUE(numbers.features[1].tested);
}

TEST_F(Mixed, UnseenCategoriesAndWrongTypes) {
  const WindowNumbers numbers = window([](int i, Request& r) {
    if (i % 5 == 0) r.texts[0] = "Atlantis";
    if (i % 6 == 0)
      r.features.clear(), r.rows.clear(), r.text_features = {"city", "age"}, r.texts = {r.texts[0], "forty"};
  });
  EXPECT_EQ(numbers.features[1].unseen, 24);
  EXPECT_EQ(numbers.features[0].wrong_type, 20);
  EXPECT_TRUE(numbers.features[0].bad_quality);
  EXPECT_TRUE(numbers.features[1].bad_quality);
}

TEST_F(Mixed, RangesAreTheBaselines) {
  const WindowNumbers numbers = window([](int i, Request& r) {
    if (i < 10) r.rows[0] = 75;      // a little above
    if (i >= 110) r.rows[0] = 4000;  // another unit
  });
  EXPECT_EQ(numbers.features[0].out_of_range, 20);
  EXPECT_EQ(numbers.features[0].far_out_of_range, 10);
  EXPECT_TRUE(numbers.features[0].bad_quality);
}

TEST_F(Mixed, TheStoredFormComesBackAndIsRecomputedToTheSameBits) {
  const WindowNumbers numbers = window([](int i, Request& r) {
    r.rows[0] += i % 3;
    if (i % 5 == 0) r.texts[0] = "Atlantis";
  });
  const std::string json = to_json(numbers);
  auto read = parse_window_numbers(json);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(to_json(*read), json);
  for (FeatureNumbers& f : read->features) f.p = f.p_holm = f.psi = 0.5, f.drifted = !f.drifted;
  recompute(*profile_, MonitorSpec{}, *read);
  EXPECT_EQ(to_json(*read), json);
}

TEST_F(Mixed, TheProfileComesBack) {
  const std::string json = to_json(*profile_);
  auto read = parse_profile(json);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(to_json(*read), json);
  EXPECT_FALSE(parse_profile("{}"));
  EXPECT_FALSE(parse_profile("[1]"));
}

TEST(Profile, RefusesRowsThatDoNotMatch) {
  const stats::Table two{{{"x", stats::Numbers{1, 2}}}};
  EXPECT_THAT(make_baseline(two, {"a"}).error().message, ::testing::HasSubstr("2 rows"));
  EXPECT_FALSE(make_baseline(two, {"a", "b"}, {"a"}));
  EXPECT_FALSE(make_baseline({}, {}));
}

TEST(Profile, ColumnsWithoutValuesAndWithTooManyAreOpaque) {
  stats::Numbers none(1500, std::nan(""));
  stats::Texts names;
  std::vector<std::string> predictions(1500, "a");
  for (int i = 0; i < 1500; ++i) names.emplace_back("name " + std::to_string(i));
  const auto profile = make_profile({{{"none", none}, {"names", names}}}, predictions, {});
  ASSERT_TRUE(profile);
  EXPECT_EQ(profile->features[0].kind, FeatureKind::kOpaque);
  EXPECT_EQ(profile->features[1].kind, FeatureKind::kOpaque);
  EXPECT_EQ(profile->predictions.kind, FeatureKind::kConstant);
}

TEST(Profile, ARegressionsPredictionsAreNumbers) {
  stats::Numbers x;
  std::vector<std::string> predictions;
  for (int i = 0; i < 100; ++i) x.push_back(i), predictions.push_back(std::to_string(i * 0.37));
  EXPECT_EQ(make_profile({{{"x", x}}}, predictions, {})->predictions.kind, FeatureKind::kNumeric);
}

}  // namespace
}  // namespace watch
