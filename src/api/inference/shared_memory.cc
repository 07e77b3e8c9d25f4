#include "api/inference/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace api::inference {
namespace {

constexpr size_t kKeyBytes = 255;

base::Result<std::string> object_name(std::string_view key) {
  std::string_view name = key;
  if (name.starts_with('/')) name.remove_prefix(1);
  if (name.empty() || name.size() > kKeyBytes || name == "." || name == ".." || name.contains('/') ||
      name.contains('\0'))
    return base::invalid("the key '" + std::string(key.substr(0, 80)) +
                         "' is no name of shared memory; allowed: up to 255 bytes, no slash but one at its beginning");
  return "/" + std::string(name);
}

}  // namespace

struct SharedRegions::Region {
  Region(Info told, int descriptor) : info(std::move(told)), fd(descriptor) {}
  Region(const Region&) = delete;
  ~Region() { close(fd); }

  base::Result<uint64_t> size() const {
    struct stat status{};
    if (fstat(fd, &status) != 0) return base::internal(std::string("fstat: ") + std::strerror(errno));
    if (!S_ISREG(status.st_mode)) return base::invalid("'" + info.key + "' is no shared memory");
    return static_cast<uint64_t>(status.st_size);
  }

  Info info;
  int fd;
};

base::Result<void> SharedRegions::add(int64_t project, Info info) {
  if (info.name.empty() || info.name.size() > kNameBytes)
    return base::invalid("the region's name has " + std::to_string(info.name.size()) + " bytes; allowed are 1 to " +
                         std::to_string(kNameBytes));
  TRY_SET(const std::string object, object_name(info.key));
  if (info.bytes == 0 || info.bytes > base::limits::kUploadBody || info.offset > base::limits::kUploadBody)
    return base::invalid("region '" + info.name + "': byte_size is " + std::to_string(info.bytes) + " at offset " +
                         std::to_string(info.offset) + "; allowed are 1 to " +
                         std::to_string(base::limits::kUploadBody));
  const int fd = shm_open(object.c_str(), O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return base::invalid("unable to open shared memory region: '" + info.key + "': " + std::strerror(errno));
  auto region = std::make_shared<const Region>(std::move(info), fd);
  TRY_SET(const uint64_t size, region->size());
  if (size < region->info.offset + region->info.bytes)
    return base::invalid("region '" + region->info.name + "' is to have " + std::to_string(region->info.bytes) +
                         " bytes at offset " + std::to_string(region->info.offset) + ", but '" + region->info.key +
                         "' has " + std::to_string(size));
  const std::lock_guard lock(mutex_);
  if (regions_.contains({project, region->info.name}))
    return base::fail(base::Code::kAlreadyExists,
                      "shared memory region '" + region->info.name + "' already in manager");
  if (regions_.size() >= kRegions)
    return base::fail(base::Code::kTooMany, "there are " + std::to_string(kRegions) +
                                                " shared memory regions; unregister one that is not used");
  std::string name = region->info.name;
  regions_.emplace(std::pair{project, std::move(name)}, std::move(region));
  return {};
}

void SharedRegions::remove(int64_t project, std::string_view name) {
  const std::lock_guard lock(mutex_);
  regions_.erase({project, std::string(name)});
}

void SharedRegions::remove_all(int64_t project) {
  const std::lock_guard lock(mutex_);
  std::erase_if(regions_, [&](const auto& entry) { return entry.first.first == project; });
}

base::Result<SharedRegions::Info> SharedRegions::find(int64_t project, std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = regions_.find({project, std::string(name)});
  if (found == regions_.end())
    return base::invalid("unable to find shared memory region '" + std::string(name.substr(0, 80)) + "'");
  return found->second->info;
}

std::vector<SharedRegions::Info> SharedRegions::list(int64_t project) const {
  std::vector<Info> out;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, region] : regions_) {
    if (key.first == project) out.push_back(region->info);
  }
  return out;
}

// The region, if `bytes` at the part's offset lie within it and its object has them still.
base::Result<SharedRegions::RegionPtr> SharedRegions::region_of(int64_t project, const SharedPart& part,
                                                                uint64_t bytes) const {
  RegionPtr region;
  {
    const std::lock_guard lock(mutex_);
    const auto found = regions_.find({project, part.region});
    if (found != regions_.end()) region = found->second;
  }
  if (!region) return base::invalid("unable to find shared memory region '" + part.region.substr(0, 80) + "'");
  const auto& info = region->info;
  if (part.offset > info.bytes || bytes > info.bytes - part.offset)
    return base::invalid("region '" + info.name + "' has " + std::to_string(info.bytes) + " bytes; " +
                         std::to_string(bytes) + " at offset " + std::to_string(part.offset) + " lie outside of it");
  TRY_SET(const uint64_t size, region->size());
  if (size < info.offset + part.offset + bytes)
    return base::invalid("region '" + info.name + "' was cut short: its object has " + std::to_string(size) + " bytes");
  return region;
}

base::Result<std::string> SharedRegions::read(int64_t project, const SharedPart& part) const {
  if (part.bytes > base::limits::kInferBody)
    return base::fail(base::Code::kTooLarge, "a tensor has " + std::to_string(part.bytes) + " bytes; allowed are " +
                                                 std::to_string(base::limits::kInferBody));
  TRY_SET(const RegionPtr region, region_of(project, part, part.bytes));
  std::string out(part.bytes, '\0');
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = pread(region->fd, out.data() + done, out.size() - done,
                            static_cast<off_t>(region->info.offset + part.offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::internal(std::string("shared memory cannot be read: ") + std::strerror(errno));
    if (n == 0) return base::invalid("region '" + region->info.name + "' was cut short while it was read");
    done += static_cast<size_t>(n);
  }
  return out;
}

base::Result<void> SharedRegions::write(int64_t project, const SharedPart& part, std::string_view bytes) const {
  if (bytes.size() > part.bytes)
    return base::invalid("the output has " + std::to_string(bytes.size()) + " bytes, and its part of region '" +
                         part.region.substr(0, 80) + "' has " + std::to_string(part.bytes));
  TRY_SET(const RegionPtr region, region_of(project, part, bytes.size()));
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = pwrite(region->fd, bytes.data() + done, bytes.size() - done,
                             static_cast<off_t>(region->info.offset + part.offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return base::internal(std::string("shared memory cannot be written: ") + std::strerror(errno));
    done += static_cast<size_t>(n);
  }
  return {};
}

base::Result<void> check_shares_memory(const net::Request& request) {
  if (request.peer.loopback && request.peer.same_user && !request.peer.is_proxy) return {};
  return base::fail(base::Code::kForbidden,
                    "shared memory is for clients on this machine that run as the server's own user and connect to it "
                    "directly, without a token; send tensors in the request");
}

base::Result<void> fill_shared(const Door& door, const net::Request& request, OipRequest& wanted) {
  if (wanted.shared_inputs.empty()) return {};
  TRY(check_shares_memory(request));
  size_t total = 0;
  for (size_t i = 0; i < wanted.shared_inputs.size(); ++i) {
    const SharedPart& part = wanted.shared_inputs[i];
    if (part.region.empty()) continue;
    total += part.bytes;
    if (part.bytes > base::limits::kInferBody || total > base::limits::kInferBody)
      return base::fail(base::Code::kTooLarge,
                        "the inputs have more than " + std::to_string(base::limits::kInferBody) + " bytes in all");
    TRY_SET(std::string bytes, door.regions->read(request.ctx.project, part));
    TRY(adopt_raw(wanted.inputs[i], bytes));
  }
  return {};
}

base::Result<void> store_shared(const Door& door, const net::Request& request, std::vector<Output>& outputs) {
  for (Output& output : outputs) {
    if (output.shared.region.empty()) continue;
    TRY(check_shares_memory(request));
    std::string bytes;
    append_raw(bytes, output.tensor);
    TRY(door.regions->write(request.ctx.project, output.shared, bytes));
    output.shared.bytes = bytes.size();
  }
  return {};
}

}  // namespace api::inference
