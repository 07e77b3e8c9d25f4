#include "core/password.h"

#include <gtest/gtest.h>

namespace core {
namespace {

// Made by Werkzeug 3.1.
constexpr std::string_view kScrypt =
    "scrypt:32768:8:1$fbu7jOCIOI58iVcc$87950b1353682bf999278b0ce2ab7eab36ea4cdbff87aa52101c095eac81bd321e6ec0e6f7937a50aa"
    "b0bd12701b22baca28a7455b93160640fc47bda66b05ce";
constexpr std::string_view kPbkdf2 =
    "pbkdf2:sha256:50000$lV7A0OawxzhPQ4Rq$88901f8f68c059f81fa104dc96b770618098d1e77f0d38da2ce55c6ea7452579";

TEST(Password, OursIsVerifiedAndNeedsNoRehash) {
  const auto hash = hash_password("correct horse battery");
  ASSERT_TRUE(hash);
  EXPECT_TRUE(verify_password(*hash, "correct horse battery"));
  EXPECT_FALSE(verify_password(*hash, "correct horse batterz"));
  EXPECT_FALSE(verify_password("", "correct horse battery"));
  EXPECT_FALSE(needs_rehash(*hash));
  EXPECT_FALSE(is_foreign_hash(*hash));
}

TEST(Password, WerkzeugsAreVerifiedAndHashedAnew) {
  EXPECT_TRUE(verify_password(kScrypt, "correct horse battery"));
  EXPECT_FALSE(verify_password(kScrypt, "correct horse batterz"));
  EXPECT_TRUE(verify_password(kPbkdf2, "pässword ok"));
  EXPECT_FALSE(verify_password(kPbkdf2, "password ok"));
  for (const auto hash : {kScrypt, kPbkdf2}) {
    EXPECT_TRUE(is_foreign_hash(hash));
    EXPECT_TRUE(needs_rehash(hash));
  }
}

TEST(Password, WhatCostsTooMuchOrIsNoHashIsNotTaken) {
  for (const std::string_view hash :
       {"scrypt:1048576:8:1$salt$00", "scrypt:32768:64:1$salt$00", "scrypt:32767:8:1$salt$00", "scrypt:0:8:1$salt$00",
        "scrypt:32768:8$salt$00", "scrypt:32768:8:1$$00", "scrypt:32768:8:1$salt$", "pbkdf2:sha256:3000000$salt$00",
        "pbkdf2:md5:1000$salt$00", "pbkdf2:sha256:-1$salt$00", "plain$salt$00", "", "$$"}) {
    EXPECT_FALSE(is_foreign_hash(hash)) << hash;
    EXPECT_FALSE(verify_password(hash, "x")) << hash;
  }
}

}  // namespace
}  // namespace core
