#include "s3/credentials.h"

#include <gmock/gmock.h>

#include <fstream>
#include <map>

namespace s3 {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kFile = R"(
# people's keys
[default]
aws_access_key_id=AKIDDEFAULT
aws_secret_access_key = secret/with=equals
[ team ]
; with a session
aws_access_key_id = AKIDTEAM
aws_secret_access_key = s
aws_session_token = token==
region = eu-west-1
[half]
aws_access_key_id = AKIDHALF
)";

TEST(CredentialsFile, ProfilesAreRead) {
  const auto all = parse_credentials_file(kFile, "default");
  ASSERT_TRUE(all);
  EXPECT_EQ(all->key_id, "AKIDDEFAULT");
  EXPECT_EQ(all->secret, "secret/with=equals");
  EXPECT_EQ(all->session_token, "");
  EXPECT_EQ(parse_credentials_file(kFile, "team")->session_token, "token==");
  EXPECT_FALSE(parse_credentials_file(kFile, "half")) << "a key without its secret";
  EXPECT_EQ(parse_credentials_file(kFile, "nobody").error().code, base::Code::kNotFound);
  EXPECT_FALSE(parse_credentials_file("[x", "x"));
}

TEST(CredentialsJson, AMetadataServicesAnswer) {
  const auto found = parse_credentials_json(
      R"({"Code":"Success","AccessKeyId":"ASIA","SecretAccessKey":"s","Token":"t","Expiration":"2026-11-24T23:19:57Z"})");
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->key_id, "ASIA");
  EXPECT_EQ(found->expires_us, *base::parse_iso8601("2026-11-24T23:19:57Z"));
  EXPECT_FALSE(parse_credentials_json(R"({"Code":"Failed"})"));
  EXPECT_FALSE(parse_credentials_json("<html>"));
}

class CredentialSourceTest : public ::testing::Test {
 protected:
  CredentialSource source(CredentialOptions options = {}) {
    options.variable = [this](const char* name) { return variables_[name]; };
    return {std::move(options), clock_};
  }
  std::map<std::string, std::string> variables_;
  base::ManualClock clock_;
};

TEST_F(CredentialSourceTest, TheEnvironmentComesFirst) {
  const std::string file = ::testing::TempDir() + "lathe-credentials";
  std::ofstream(file) << kFile;
  variables_ = {
      {"AWS_ACCESS_KEY_ID", "AKIDENV"}, {"AWS_SECRET_ACCESS_KEY", "s"}, {"AWS_SHARED_CREDENTIALS_FILE", file}};
  EXPECT_EQ(source().get()->key_id, "AKIDENV");
  EXPECT_EQ(source({.profile = "team"}).get()->key_id, "AKIDTEAM") << "a profile that was asked for by name";
  variables_.erase("AWS_SECRET_ACCESS_KEY");
  EXPECT_EQ(source().get()->key_id, "AKIDDEFAULT");
  variables_["AWS_PROFILE"] = "team";
  EXPECT_EQ(source().get()->key_id, "AKIDTEAM");
}

TEST_F(CredentialSourceTest, WithoutAnyItSaysWhereItLookedAndAsksNoMetadataUnlessAllowed) {
  const auto none = source().get();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, base::Code::kUnavailable);
  EXPECT_THAT(none.error().message, HasSubstr("AWS_ACCESS_KEY_ID"));
  EXPECT_THAT(none.error().message, HasSubstr("s3_metadata: 1"));
}

TEST_F(CredentialSourceTest, AContainersAddressMustBeAnAgentsOwn) {
  for (const char* url : {"http://example.org/keys", "http://169.254.170.2.example.org/", "file:///etc/passwd"}) {
    variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    EXPECT_THAT(source({.metadata = true}).get().error().message, HasSubstr("local agent")) << url;
  }
}

}  // namespace
}  // namespace s3
