#include "s3/xml.h"

#include <gmock/gmock.h>

#include "net/text.h"

namespace s3 {
namespace {

using ::testing::HasSubstr;

TEST(Xml, AnErrorAsS3WritesIt) {
  const auto root = parse_xml(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>The &quot;key&quot; does "
      "not exist &amp; never&#32;did &#xfc;</Message><Resource/><!-- a comment --></Error>\n");
  ASSERT_TRUE(root) << root.error().message;
  EXPECT_EQ(root->name, "Error");
  EXPECT_EQ(root->child_text("Code"), "NoSuchKey");
  EXPECT_EQ(root->child_text("Message"), "The \"key\" does not exist & never did ü");
  EXPECT_EQ(root->child_text("Resource"), "");
  EXPECT_EQ(root->child("Nothing"), nullptr);
}

TEST(Xml, NamespacesAndAttributesAreNoObstacle) {
  const auto root = parse_xml(
      "<s3:ListBucketResult xmlns:s3='http://s3.amazonaws.com/doc/2006-03-01/' a = \"1>2\"><s3:Key><![CDATA[a<b]]>c"
      "</s3:Key></s3:ListBucketResult>");
  ASSERT_TRUE(root) << root.error().message;
  EXPECT_EQ(root->name, "ListBucketResult");
  EXPECT_EQ(root->child_text("Key"), "a<bc");
}

TEST(Xml, WhatIsNotXmlIsRefusedWithItsPlace) {
  for (const char* text :
       {"", "hello", "<a>", "<a></b>", "<a><b></a></b>", "<a>&nbsp;</a>", "<a>&#0;</a>", "<a x=1/>", "<a/><b/>", "<a",
        "<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>", "<a>&#xD800;</a>", "<a>&lt", "<a:/>"}) {
    const auto root = parse_xml(text);
    ASSERT_FALSE(root) << text;
    EXPECT_THAT(root.error().message, HasSubstr("XML, at byte")) << text;
  }
}

TEST(Xml, DepthAndNumberAreBounded) {
  std::string deep, wide = "<a>";
  for (size_t i = 0; i <= kXmlDepth; ++i) deep += "<a>";
  EXPECT_THAT(parse_xml(deep).error().message, HasSubstr("too deep"));
  for (size_t i = 0; i < kXmlElements; ++i) wide += "<b/>";
  EXPECT_THAT(parse_xml(wide + "</a>").error().message, HasSubstr("too many"));
}

TEST(Xml, EscapedTextComesBack) {
  const std::string text = "a<b>&\"'ü";
  EXPECT_EQ(parse_xml("<t>" + net::escape_markup(text) + "</t>")->text, text);
}

}  // namespace
}  // namespace s3
