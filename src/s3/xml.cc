#include "s3/xml.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace s3 {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.' || c == ':' || static_cast<unsigned char>(c) >= 0x80;
}

bool append_utf8(std::string& out, uint32_t code) {
  const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (code == 0 || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6)), put(0x80 | (code & 63));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12)), put(0x80 | ((code >> 6) & 63)), put(0x80 | (code & 63));
  } else {
    put(0xF0 | (code >> 18)), put(0x80 | ((code >> 12) & 63)), put(0x80 | ((code >> 6) & 63)), put(0x80 | (code & 63));
  }
  return true;
}

bool append_entity(std::string& out, std::string_view name) {
  if (name.starts_with('#')) {
    name.remove_prefix(1);
    const int base = name.starts_with('x') ? 16 : 10;
    if (base == 16) name.remove_prefix(1);
    uint32_t code = 0;
    const auto [end, failed] = std::from_chars(name.data(), name.data() + name.size(), code, base);
    return failed == std::errc() && !name.empty() && end == name.data() + name.size() && append_utf8(out, code);
  }
  constexpr std::pair<std::string_view, char> kNamed[] = {
      {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
  const auto* found = std::ranges::find(kNamed, name, &std::pair<std::string_view, char>::first);
  if (found == std::end(kNamed)) return false;
  out += found->second;
  return true;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  base::Result<XmlElement> document() {
    if (text_.size() > kXmlBytes) return base::fail(base::Code::kTooLarge, "the XML is too large");
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
    TRY(skip_misc());
    XmlElement root;
    TRY(element(root, 1));
    TRY(skip_misc());
    if (at_ != text_.size()) return bad("text behind the root element");
    return root;
  }

 private:
  std::unexpected<base::Error> bad(std::string_view what) const {
    return base::invalid("XML, at byte " + std::to_string(at_) + ": " + std::string(what));
  }
  bool looking_at(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  void skip_blanks() {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  }

  base::Result<void> skip_to(std::string_view end) {
    const size_t found = text_.find(end, at_);
    if (found == text_.npos) return bad("the end is missing");
    at_ = found + end.size();
    return {};
  }

  // Blanks, comments and processing instructions outside the root.
  base::Result<void> skip_misc() {
    for (skip_blanks(); looking_at("<?") || looking_at("<!--"); skip_blanks())
      TRY(skip_to(looking_at("<?") ? "?>" : "-->"));
    return {};
  }

  base::Result<std::string_view> name() {
    const size_t from = at_;
    while (at_ < text_.size() && is_name_char(text_[at_])) ++at_;
    if (at_ == from) return bad("a name is expected");
    return text_.substr(from, at_ - from);
  }

  // Attributes are passed over: nothing that S3 says to us stands in one. Answers whether the element is empty.
  base::Result<bool> end_of_tag() {
    while (true) {
      skip_blanks();
      if (looking_at("/>")) return at_ += 2, true;
      if (looking_at(">")) return at_ += 1, false;
      TRY(name());
      skip_blanks();
      if (!looking_at("=")) return bad("'=' is expected");
      ++at_;
      skip_blanks();
      if (!looking_at("\"") && !looking_at("'")) return bad("a quoted value is expected");
      const std::string quote(1, text_[at_++]);
      TRY(skip_to(quote));
    }
  }

  base::Result<void> element(XmlElement& into, size_t depth) {
    if (depth > kXmlDepth) return bad("too deep");
    if (++elements_ > kXmlElements) return bad("too many elements");
    if (!looking_at("<")) return bad("an element is expected");
    ++at_;
    TRY_SET(const std::string_view full, name());
    into.name = full.substr(full.rfind(':') + 1);
    if (into.name.empty()) return bad("a name is expected behind the prefix");
    TRY_SET(const bool empty, end_of_tag());
    if (empty) return {};
    while (!looking_at("</")) TRY(content(into, depth));
    at_ += 2;
    TRY_SET(const std::string_view closing, name());
    skip_blanks();
    if (closing != full || !looking_at(">")) return bad("the end of <" + std::string(full) + "> is expected");
    ++at_;
    return {};
  }

  base::Result<void> content(XmlElement& into, size_t depth) {
    if (at_ >= text_.size()) return bad("the end is missing");
    if (looking_at("<!--")) return skip_to("-->");
    if (looking_at("<![CDATA[")) {
      const size_t from = at_ + 9;
      TRY(skip_to("]]>"));
      into.text += text_.substr(from, at_ - 3 - from);
      return {};
    }
    if (looking_at("<?")) return skip_to("?>");
    if (looking_at("<")) {
      into.children.emplace_back();
      return element(into.children.back(), depth + 1);
    }
    if (looking_at("&")) return entity(into.text);
    const size_t to = std::min(text_.find_first_of("<&", at_), text_.size());
    into.text += text_.substr(at_, to - at_);
    at_ = to;
    return {};
  }

  base::Result<void> entity(std::string& out) {
    const size_t end = text_.substr(0, at_ + 12).find(';', at_);
    if (end == text_.npos || !append_entity(out, text_.substr(at_ + 1, end - at_ - 1)))
      return bad("an unknown reference");
    at_ = end + 1;
    return {};
  }

  const std::string_view text_;
  size_t at_ = 0;
  size_t elements_ = 0;
};

}  // namespace

const XmlElement* XmlElement::child(std::string_view wanted) const {
  const auto found = std::ranges::find(children, wanted, &XmlElement::name);
  return found == children.end() ? nullptr : &*found;
}

std::string_view XmlElement::child_text(std::string_view wanted) const {
  const XmlElement* found = child(wanted);
  return found == nullptr ? std::string_view() : std::string_view(found->text);
}

base::Result<XmlElement> parse_xml(std::string_view text) { return Parser(text).document(); }

}  // namespace s3
