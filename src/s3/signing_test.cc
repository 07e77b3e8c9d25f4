// Against the examples that AWS publishes: "Signature Calculations for the Authorization Header" and "Using Query
// Parameters" of the S3 API reference, and get-vanilla… of the Signature Version 4 test suite.
#include "s3/signing.h"

#include <gmock/gmock.h>

namespace s3 {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr int64_t kMay2013 = 1'369'353'600'000'000;  // 20130524T000000Z
const Credentials kExample{.key_id = "AKIAIOSFODNN7EXAMPLE", .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
const Scope kEast{.region = "us-east-1"};

std::string authorization_of(const ToSign& request) {
  for (const auto& [name, value] : sign(request, kEast, kExample, kMay2013)) {
    if (name == "authorization") return value;
  }
  return "";
}

TEST(Signing, GetObjectWithRange) {
  ToSign request{.method = "GET", .path = "/test.txt"};
  request.headers = {{"host", "examplebucket.s3.amazonaws.com"}, {"range", "bytes=0-9"}};
  EXPECT_EQ(authorization_of(request),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(Signing, PutObjectWithASpecialCharacterInItsKey) {
  ToSign request{.method = "PUT", .path = "/test$file.text"};
  request.headers = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                     {"host", "examplebucket.s3.amazonaws.com"},
                     {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
  request.payload_sha256 = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
  EXPECT_THAT(authorization_of(request),
              EndsWith("Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

TEST(Signing, QueriesWithAndWithoutValues) {
  ToSign lifecycle{.method = "GET", .path = "/", .query = {{"lifecycle", ""}}};
  lifecycle.headers = {{"host", "examplebucket.s3.amazonaws.com"}};
  EXPECT_THAT(authorization_of(lifecycle),
              EndsWith("Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
  ToSign list{.method = "GET", .path = "/", .query = {{"prefix", "J"}, {"max-keys", "2"}}};
  list.headers = {{"host", "examplebucket.s3.amazonaws.com"}};
  EXPECT_THAT(authorization_of(list),
              EndsWith("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

TEST(Signing, APresignedUrl) {
  ToSign request{.method = "GET", .path = "/test.txt"};
  request.headers = {{"host", "examplebucket.s3.amazonaws.com"}};
  EXPECT_EQ(presign(request, kEast, kExample, kMay2013, 86'400),
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F"
            "aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
            "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

TEST(Signing, TheTestSuite) {
  const Scope scope{.region = "us-east-1", .service = "service"};
  const Credentials suite{.key_id = "AKIDEXAMPLE", .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"};
  const int64_t august_2015 = 1'440'938'160'000'000;  // 20150830T123600Z
  const auto signature_of = [&](const Pairs& query) {
    ToSign request{.method = "GET", .path = "/", .query = query};
    request.headers = {{"x-amz-date", "20150830T123600Z"}, {"host", "example.amazonaws.com"}};
    return authorization(request, scope, suite, august_2015);
  };
  EXPECT_EQ(amz_date(august_2015), "20150830T123600Z");
  EXPECT_THAT(signature_of({}), EndsWith("5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"));
  EXPECT_THAT(signature_of({{"Param2", "value2"}, {"Param1", "value1"}}),
              EndsWith("b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"));
}

TEST(Signing, ATokenIsSignedToo) {
  Credentials temporary = kExample;
  temporary.session_token = "a/token+";
  ToSign request{.method = "GET", .path = "/k"};
  request.headers = {{"host", "h"}};
  const Pairs added = sign(request, kEast, temporary, kMay2013);
  EXPECT_THAT(added, ::testing::Contains(std::pair<std::string, std::string>("x-amz-security-token", "a/token+")));
  EXPECT_THAT(added.back().second, HasSubstr("x-amz-date;x-amz-security-token"));
  EXPECT_THAT(presign(request, kEast, temporary, kMay2013, 60), HasSubstr("&X-Amz-Security-Token=a%2Ftoken%2B&"));
}

TEST(Signing, PathsAreEncodedOnce) {
  EXPECT_EQ(uri_encode("/a b/ü+%~", true), "/a%20b/%C3%BC%2B%25~");
  EXPECT_EQ(uri_encode("a/b"), "a%2Fb");
}

}  // namespace
}  // namespace s3
