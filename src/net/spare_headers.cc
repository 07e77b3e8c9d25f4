#include "net/spare_headers.h"

#include <utility>

namespace net {
namespace {

constexpr size_t kMostFields = 256, kMostLists = 16;
constexpr size_t kLongestKept = 512;  // bytes of a value

struct Spare {
  std::vector<Header> fields;
  std::vector<std::vector<Header>> lists;
};
thread_local Spare spare;

}  // namespace

Header& append_spare(std::vector<Header>& headers) {
  if (headers.capacity() == 0 && !spare.lists.empty()) {
    headers = std::move(spare.lists.back());
    spare.lists.pop_back();
  }
  if (spare.fields.empty()) return headers.emplace_back();
  headers.push_back(std::move(spare.fields.back()));
  spare.fields.pop_back();
  return headers.back();
}

void take_back(std::vector<Header>& headers) {
  for (Header& header : headers) {
    if (spare.fields.size() >= kMostFields || header.second.capacity() > kLongestKept) continue;
    header.first.clear();
    header.second.clear();
    spare.fields.push_back(std::move(header));
  }
  headers.clear();
  if (headers.capacity() > 0 && spare.lists.size() < kMostLists) spare.lists.push_back(std::move(headers));
}

}  // namespace net
