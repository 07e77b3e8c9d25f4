// Decoding OTLP: what is read, what is refused, and the bounds.
#include "traces/otlp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "traces/span_log.h"

namespace traces {
namespace {

using ::testing::HasSubstr;

// A protobuf message, written by hand.
class Message {
 public:
  Message& varint(uint32_t field, uint64_t value) {
    number(field << 3), number(value);
    return *this;
  }
  Message& fixed64(uint32_t field, uint64_t value) {
    number(field << 3 | 1);
    for (int i = 0; i < 8; ++i) text_ += static_cast<char>(value >> (8 * i));
    return *this;
  }
  Message& bytes(uint32_t field, const std::string& value) {
    number(field << 3 | 2), number(value.size());
    text_ += value;
    return *this;
  }
  Message& add(uint32_t field, const Message& value) { return bytes(field, value.text_); }
  const std::string& text() const { return text_; }

 private:
  void number(uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
  }
  std::string text_;
};

const std::string kTrace(16, '\x0a'), kSpan(8, '\x0b');

Message attribute(const std::string& key, const Message& value) { return Message().bytes(1, key).add(2, value); }
Message whole(const Message& span) { return Message().add(1, Message().add(2, Message().add(2, span))); }
Message plain() { return Message().bytes(1, kTrace).bytes(2, kSpan).bytes(5, "n").fixed64(7, 5).fixed64(8, 9); }

std::string compressed(const std::string& text, int window) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST(Otlp, ReadsEveryKindOfValue) {
  Message span = plain();
  span.add(9, attribute("s", Message().bytes(1, "a\"é")));
  span.add(9, attribute("b", Message().varint(2, 1)));
  span.add(9, attribute("i", Message().varint(3, static_cast<uint64_t>(-7))));
  span.add(9, attribute("d", Message().fixed64(4, 0x3FF8000000000000)));
  span.add(9, attribute("l", Message().add(5, Message().add(1, Message().varint(3, 1)).add(1, Message()))));
  span.add(9, attribute("m", Message().add(6, Message().add(1, attribute("k", Message().bytes(1, "v"))))));
  span.add(9, attribute("x", Message().bytes(7, "hi")));
  span.add(9, attribute("none", Message()));
  span.add(11, Message().fixed64(1, 6).bytes(2, "ev").add(3, attribute("a", Message().varint(3, 2))));
  span.add(13, Message().bytes(1, kTrace).bytes(2, kSpan));
  span.add(15, Message().bytes(2, "bad").varint(3, 2));
  span.bytes(99, "unknown").varint(98, 5).fixed64(97, 1);
  const auto batch = decode_otlp(whole(span).text());
  ASSERT_TRUE(batch) << batch.error().message;
  ASSERT_EQ(batch->spans.size(), 1U);
  const Span& read = batch->spans[0];
  EXPECT_EQ(read.trace_id, "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a");
  EXPECT_EQ(*read.find("s"), R"("a\"é")");
  EXPECT_EQ(*read.find("b"), "true");
  EXPECT_EQ(*read.find("i"), "-7");
  EXPECT_EQ(*read.find("d"), "1.5");
  EXPECT_EQ(*read.find("l"), "[1, null]");
  EXPECT_EQ(*read.find("m"), R"({"k": "v"})");
  EXPECT_EQ(*read.find("x"), "\"aGk=\"");
  EXPECT_EQ(*read.find("none"), "null");
  EXPECT_EQ(read.status, SpanStatus::kError);
  EXPECT_EQ(read.events[0].attributes[0].json, "2");
  EXPECT_EQ(read.links[0].span_id, "0b0b0b0b0b0b0b0b");
  EXPECT_THAT(span_json(read), HasSubstr(R"("status": {"code": "STATUS_CODE_ERROR", "message": "bad"})"));
}

TEST(Otlp, RefusesWhatMakesNoSense) {
  const auto refused = [](const std::string& bytes) {
    const auto batch = decode_otlp(bytes);
    EXPECT_FALSE(batch);
    return batch ? "" : batch.error().message;
  };
  EXPECT_THAT(refused(""), HasSubstr("no spans"));
  EXPECT_THAT(refused("\x0a\xff"), HasSubstr("cut off"));
  const std::string good = whole(plain()).text();
  for (size_t size = 1; size < good.size(); ++size) EXPECT_FALSE(decode_otlp(good.substr(0, size))) << size;
  EXPECT_THAT(refused(whole(Message().bytes(1, kTrace)).text()), HasSubstr("span_id"));
  EXPECT_THAT(refused(whole(Message().bytes(1, "short").bytes(2, kSpan)).text()), HasSubstr("16"));
  EXPECT_THAT(refused(whole(Message().bytes(1, std::string(16, '\0')).bytes(2, kSpan)).text()), HasSubstr("zeros"));
  EXPECT_THAT(refused(whole(plain().bytes(5, "\xff")).text()), HasSubstr("UTF-8"));
  EXPECT_THAT(refused(whole(plain().fixed64(7, ~uint64_t{0})).text()), HasSubstr("2262"));
  Message deep = Message().varint(3, 1);
  for (size_t i = 0; i < kValueDepth; ++i) deep = Message().add(5, Message().add(1, deep));
  EXPECT_THAT(refused(whole(plain().add(9, attribute("a", deep))).text()), HasSubstr("deeper"));
  Message many = plain();
  for (size_t i = 0; i <= kSpanAttributes; ++i) many.add(9, attribute("a", Message()));
  EXPECT_THAT(refused(whole(many).text()), HasSubstr("attributes"));
}

TEST(Otlp, JsonSaysTheSame) {
  const auto batch = decode_otlp_json(R"({"resourceSpans": [{"resource": {"attributes": [{"key": "service.name",
    "value": {"stringValue": "s"}}]}, "scopeSpans": [{"spans": [{"traceId": "0A0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
    "spanId": "0b0b0b0b0b0b0b0b", "name": "n", "startTimeUnixNano": "5", "endTimeUnixNano": 9, "status": {"code": 1},
    "attributes": [{"key": "m", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "3"}}]}}},
                   {"key": "l", "value": {"arrayValue": {"values": [{"doubleValue": 2}, {"boolValue": false}]}}}]}]}]}]})");
  ASSERT_TRUE(batch) << batch.error().message;
  const Span& span = batch->spans.at(0);
  EXPECT_EQ(span.trace_id, "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a");
  EXPECT_EQ(span.start_ns, 5);
  EXPECT_EQ(span.end_ns, 9);
  EXPECT_EQ(span.status, SpanStatus::kOk);
  EXPECT_EQ(*span.find("m"), R"({"k": 3})");
  EXPECT_EQ(*span.find("l"), "[2.0, false]");
  for (const char* bad :
       {"", "[]", "{}", R"({"resourceSpans": 1})", R"({"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]})",
        R"({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz", "spanId": "1"}]}]}]})"}) {
    EXPECT_FALSE(decode_otlp_json(bad)) << bad;
  }
}

TEST(Otlp, BodiesAreUnpackedWithinBounds) {
  const std::string text(100'000, 'x');
  EXPECT_EQ(*decompress(text, ""), text);
  EXPECT_EQ(*decompress(text, "identity"), text);
  EXPECT_EQ(*decompress(compressed(text, 16 + MAX_WBITS), "gzip"), text);
  EXPECT_EQ(*decompress(compressed(text, MAX_WBITS), "deflate"), text);
  EXPECT_EQ(*decompress(compressed(text, -MAX_WBITS), "deflate"), text);
  EXPECT_FALSE(decompress(text, "gzip"));
  EXPECT_FALSE(decompress(compressed(text, 16 + MAX_WBITS).substr(0, 40), "gzip"));
  EXPECT_FALSE(decompress(text, "br"));
  const std::string bomb = compressed(std::string(kOtlpBytes + 1, '\0'), 16 + MAX_WBITS);
  EXPECT_LT(bomb.size(), 100'000U);
  const auto burst = decompress(bomb, "gzip");
  ASSERT_FALSE(burst);
  EXPECT_EQ(burst.error().code, base::Code::kTooLarge);
}

TEST(Otlp, NumbersLookAsPythonWritesThem) {
  const auto text = [](double number) {
    std::string out;
    append_python_double(out, number);
    return out;
  };
  EXPECT_EQ(text(1), "1.0");
  EXPECT_EQ(text(100'000), "100000.0");
  EXPECT_EQ(text(1e16), "1e+16");
  EXPECT_EQ(text(0.1), "0.1");
  EXPECT_EQ(text(1e-5), "1e-05");
  EXPECT_EQ(text(-0.0), "-0.0");
}

}  // namespace
}  // namespace traces
