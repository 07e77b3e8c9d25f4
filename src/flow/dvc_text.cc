#include "flow/dvc_text.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "base/json_writer.h"
#include "base/yaml.h"

namespace flow {
namespace {

constexpr size_t kWidth = 80;

bool is_plain(std::string_view text) {
  constexpr std::string_view kIndicators = "-?:,[]{}#&*!|>'\"%@`";
  if (text.empty() || text.front() == ' ' || text.back() == ' ' || text.back() == ':') return false;
  if (kIndicators.find(text.front()) != std::string_view::npos) {
    // "-x", "?x" and ":x" are plain where no space follows
    if (std::string_view("-?:").find(text.front()) == std::string_view::npos || text.size() == 1 || text[1] == ' ')
      return false;
  }
  if (text.find(": ") != std::string_view::npos || text.find(" #") != std::string_view::npos || text == "---" ||
      text == "...")
    return false;
  base::yaml::Node node;
  node.kind = base::yaml::Kind::kScalar;
  node.scalar = text;
  return !node.as_bool() && !node.as_int() && !node.as_double() && text != "null" && text != "Null" && text != "NULL" &&
         text != "~";
}

bool has_control(std::string_view text) {
  for (const unsigned char c : text)
    if (c < 0x20 || c == 0x7f) return true;
  return false;
}

// Columns count characters, not bytes.
size_t width_of(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](unsigned char c) { return (c & 0xc0) != 0x80; }));
}

// Lays one scalar out behind what stands on the line already. A line break reads back as the one space it stands for,
// so only single spaces are places to fold.
class Folder {
 public:
  Folder(std::string& out, size_t column, size_t indent) : out_(out), column_(column), indent_(indent) {}

  // Before the word that would pass the width; the space before it stays at the line's end.
  void plain(std::string_view text) {
    for_each_piece(text, [&](std::string_view piece, bool, bool) {
      if (piece.front() == ' ') {
        piece.size() == 1 && column_ >= kWidth ? next_line() : put(piece);
      } else {
        if (column_ + width_of(piece) > kWidth && column_ > indent_) next_line();
        put(piece);
      }
    });
  }

  // At the first single space past the width.
  void single_quoted(std::string_view text) {
    put("'");
    for_each_piece(text, [&](std::string_view piece, bool first, bool last) {
      if (piece.size() == 1 && piece.front() == ' ' && column_ > kWidth && !first && !last)
        next_line();
      else
        put(piece);
    });
    put("'");
  }

  void put(std::string_view text) {
    out_ += text;
    column_ += width_of(text);
  }

 private:
  template <class Visit>
  static void for_each_piece(std::string_view text, const Visit& visit) {
    for (size_t at = 0; at < text.size();) {
      const bool space = text[at] == ' ';
      size_t end = space ? text.find_first_not_of(' ', at) : text.find(' ', at);
      end = std::min(end, text.size());
      visit(text.substr(at, end - at), at == 0, end == text.size());
      at = end;
    }
  }

  void next_line() {
    out_ += "\n" + std::string(indent_, ' ');
    column_ = indent_;
  }

  std::string& out_;
  size_t column_, indent_;
};

std::string double_quoted(std::string_view text) {
  std::string out;
  base::append_json_string(out, text);  // JSON's escapes are YAML's too
  return out;
}

// `line_start`: where the scalar's line begins in `out`.
void append_folded(std::string& out, size_t line_start, size_t indent, std::string_view text) {
  Folder folder(out, width_of(std::string_view(out).substr(line_start)), indent);
  if (is_plain(text) && !has_control(text))
    folder.plain(text);
  else if (has_control(text) || text.find('\'') != std::string_view::npos)
    folder.put(double_quoted(text));
  else
    folder.single_quoted(text);
}

void append_items(std::string& out, size_t indent, const base::yaml::Node& list);

// Behind "key:" or "-"; `indent` is that of the line.
void append_value(std::string& out, size_t line_start, size_t indent, const base::yaml::Node& value, bool in_list) {
  switch (value.kind) {
    case base::yaml::Kind::kNull: break;
    case base::yaml::Kind::kScalar:
      out += ' ';
      if (value.quoted)
        append_folded(out, line_start, indent + 2, value.scalar);
      else
        out += value.scalar;
      break;
    case base::yaml::Kind::kSequence:
      if (value.items.empty()) {
        out += " []";
        break;
      }
      if (!in_list) {
        out += '\n';
        append_items(out, indent, value);
        return;
      }
      out += ' ';
      append_items(out, indent + 2, value);
      return;
    case base::yaml::Kind::kMap:
      if (value.entries.empty()) {
        out += " {}";
        break;
      }
      out += in_list ? ' ' : '\n';
      for (size_t i = 0; i < value.entries.size(); ++i) {
        // The first entry of a list's item stands on the dash's line.
        const size_t at = out.size();
        append_yaml_entry(out, indent + 2, value.entries[i].key, value.entries[i].value);
        if (in_list && i == 0) out.erase(at, indent + 2);
      }
      return;
  }
  out += '\n';
}

void append_items(std::string& out, size_t indent, const base::yaml::Node& list) {
  for (size_t i = 0; i < list.items.size(); ++i) {
    const size_t line_start = out.ends_with('\n') || out.empty() ? out.size() : out.rfind('\n') + 1;
    if (line_start == out.size()) out += std::string(indent, ' ');
    out += '-';
    append_value(out, line_start, indent, list.items[i], true);
  }
}

}  // namespace

void append_yaml_entry(std::string& out, size_t indent, std::string_view key, const base::yaml::Node& value) {
  const size_t line_start = out.size();
  out += std::string(indent, ' ') + yaml_scalar(key) + ":";
  append_value(out, line_start, indent, value, false);
}

void append_yaml_text_item(std::string& out, size_t indent, std::string_view text) {
  const size_t line_start = out.size();
  out += std::string(indent, ' ') + "- ";
  append_folded(out, line_start, indent + 2, text);
  out += '\n';
}

std::string yaml_scalar(std::string_view text) {
  std::string out;
  if (has_control(text)) {
    out = double_quoted(text);
  } else if (is_plain(text)) {
    out = text;
  } else {
    out = "'";
    for (const char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
    out += "'";
  }
  return out;
}

void append_ascii_json(std::string& out, std::string_view text) {
  std::string quoted;
  base::append_json_string(quoted, text);
  for (size_t i = 0; i < quoted.size();) {
    const auto lead = static_cast<unsigned char>(quoted[i]);
    if (lead < 0x80) {
      out.push_back(quoted[i++]);
      continue;
    }
    const int extra = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    uint32_t point = lead & (0x3f >> extra);
    for (int k = 1; k <= extra && i + static_cast<size_t>(k) < quoted.size(); ++k)
      point = point << 6 | (static_cast<unsigned char>(quoted[i + static_cast<size_t>(k)]) & 0x3f);
    i += static_cast<size_t>(extra) + 1;
    char escape[16];
    if (point >= 0x10000) {
      point -= 0x10000;
      std::snprintf(escape, sizeof escape, "\\u%04x\\u%04x", 0xd800 + (point >> 10), 0xdc00 + (point & 0x3ff));
    } else {
      std::snprintf(escape, sizeof escape, "\\u%04x", point);
    }
    out += escape;
  }
}

}  // namespace flow
