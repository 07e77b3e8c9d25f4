#include "stats/table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace stats {
namespace {

TEST(Csv, ReadsNumbersTextAndMissing) {
  const auto table = parse_csv("a,b,name\n1,2.5e3,x\n,-0.25,\"y, \"\"z\"\"\"\r\n3,,\n");
  ASSERT_TRUE(table) << table.error().message;
  ASSERT_EQ(table->rows(), 3u);
  const Numbers& a = table->find("a")->numbers();
  EXPECT_EQ(a[0], 1);
  EXPECT_TRUE(std::isnan(a[1]));
  EXPECT_EQ(table->find("b")->numbers()[0], 2500);
  EXPECT_EQ(table->find("name")->texts()[1], "y, \"z\"");
  EXPECT_EQ(table->find("name")->texts()[2], std::nullopt);
  EXPECT_EQ(table->find("nobody"), nullptr);
}

TEST(Csv, RoundTripsExactly) {
  Table table;
  table.columns.push_back({"x", Numbers{0.1, -0.0, 5e-324, 1.7976931348623157e308, std::nan(""), 1.0 / 3}});
  table.columns.push_back(
      {"t", Texts{"plain", "comma, quote \" and\nline\r\n", std::nullopt, "Größe", " spaced ", "'"}});
  const std::string csv = to_csv(table);
  const auto back = parse_csv(csv);
  ASSERT_TRUE(back) << back.error().message;
  for (size_t i = 0; i < 6; ++i) {
    const double x = table.columns[0].numbers()[i];
    const double y = back->columns[0].numbers()[i];
    EXPECT_TRUE(std::isnan(x) ? std::isnan(y) : (x == y && std::signbit(x) == std::signbit(y))) << i;
  }
  EXPECT_EQ(back->columns[1].texts(), table.columns[1].texts());
  EXPECT_EQ(to_csv(*back), csv);
}

TEST(Csv, AFirstNameMayBeginWithAByteOrderMark) {
  const auto table = parse_csv(
      "\xEF\xBB\xBF\xEF\xBB\xBF"
      "a,b\n1,2\n");
  ASSERT_TRUE(table);
  EXPECT_EQ(table->columns[0].name,
            "\xEF\xBB\xBF"
            "a");
  const auto again = parse_csv(to_csv(*table));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->columns[0].name, table->columns[0].name);
}

TEST(Csv, OneMissingColumnIsStillARow) {
  Table table;
  table.columns.push_back({"x", Numbers{1, std::nan(""), 2}});
  EXPECT_EQ(to_csv(table), "x\n1\n\"\"\n2\n");
  EXPECT_EQ(parse_csv(to_csv(table))->rows(), 3u);
}

TEST(Csv, AcceptsByteOrderMarkCrlfBlankLinesAndNoFinalNewline) {
  const auto table = parse_csv("\xEF\xBB\xBF\"a\",b\r\n\r\n\"1\",2\r\n3,\"4\"");
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_EQ(table->columns[0].name, "a");
  EXPECT_EQ(table->columns[0].numbers(), (Numbers{1, 3}));
  EXPECT_EQ(table->columns[1].numbers(), (Numbers{2, 4}));
}

TEST(Csv, WhatIsANumber) {
  for (const char* good : {"1", "-1.5", "+2", "1e3", ".5", "1.", "1e-400", "007"})
    EXPECT_TRUE(parse_number(good)) << good;
  for (const char* bad : {"", "x", "inf", "-inf", "nan", "1e999", "0x10", "1 ", " 1", "1,5", "+-1", "++1", "+"}) {
    EXPECT_FALSE(parse_number(bad)) << bad;
  }
  CsvOptions as_text;
  as_text.text_columns = {"code"};
  EXPECT_EQ(parse_csv("code\n007\n", as_text)->columns[0].texts()[0], "007");
}

TEST(Csv, ErrorsNameTheLine) {
  auto message = [](std::string_view text, const CsvOptions& options = {}) {
    const auto table = parse_csv(text, options);
    return table ? std::string("no error") : table.error().message;
  };
  EXPECT_EQ(message(""), "the text is empty; a header line with the columns' names is needed");
  EXPECT_EQ(message("a,b\n1,2\n1,2,3\n"), "line 3: 3 fields, but the header names 2 columns");
  EXPECT_EQ(message("a,a\n"), "line 1: the column name 'a' is used twice");
  EXPECT_EQ(message("a,\n"), "line 1: column 2 has no name");
  EXPECT_EQ(message("a\n\"x\ny\n"), "line 2: a quote that is never closed");
  EXPECT_EQ(message("a\n\"x\"y\n"), "line 2: text after a closing quote; a quote inside quotes is written twice");
  EXPECT_EQ(message("a,b\n1,2\n3,\xE4\n"), "line 3: byte 0xE4 is not UTF-8; save the file as UTF-8");
  EXPECT_EQ(message("a,b\n\"1\n\xE4\",2\n"), "line 3: byte 0xE4 is not UTF-8; save the file as UTF-8");
  EXPECT_EQ(message(std::string_view("a\n1\0\n", 6)), "line 2: a NUL byte; text must not hold one");
  CsvOptions small;
  small.max_columns = 2, small.max_record_bytes = 8, small.max_bytes = 100;
  EXPECT_EQ(message("a,b,c\n", small), "line 1: 3 columns; at most 2 are allowed");
  EXPECT_EQ(message("a,b\n12345,6789\n", small), "line 2: a row of 10 bytes; at most 8 are allowed");
  EXPECT_EQ(message(std::string(101, 'a'), small), "101 bytes of CSV; at most 100 are allowed");
}

TEST(CsvReader, GoesOnAfterABadRecord) {
  CsvReader reader("a,b\n\"open,1\n2,3\n\xFF,4\n5,\"6\"\r\n");
  std::vector<std::string_view> fields;
  EXPECT_TRUE(*reader.next(fields));
  EXPECT_FALSE(reader.next(fields).has_value());
  EXPECT_EQ(reader.record(), "\"open,1");
  ASSERT_TRUE(*reader.next(fields));
  EXPECT_EQ(fields, (std::vector<std::string_view>{"2", "3"}));
  EXPECT_FALSE(reader.next(fields).has_value());
  ASSERT_TRUE(*reader.next(fields));
  EXPECT_EQ(fields, (std::vector<std::string_view>{"5", "6"}));
  EXPECT_EQ(reader.record(), "5,\"6\"");
  EXPECT_EQ(reader.line(), 5u);
  EXPECT_TRUE(reader.quoted(1));
  EXPECT_FALSE(*reader.next(fields));
}

TEST(CsvReader, KeepsViewsOfManyEscapedFields) {
  std::string line;
  for (int i = 0; i < 100; ++i) line += (i ? ",\"a\"\"" : "\"a\"\"") + std::to_string(i) + "\"";
  CsvReader reader(line);
  std::vector<std::string_view> fields;
  ASSERT_TRUE(*reader.next(fields));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(fields[static_cast<size_t>(i)], "a\"" + std::to_string(i));
}

}  // namespace
}  // namespace stats
