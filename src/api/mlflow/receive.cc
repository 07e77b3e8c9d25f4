#include "api/mlflow/receive.h"

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "api/mlflow/artifact_tree.h"

namespace api::mlflow {
namespace {

// Of a small file one buffer; of a large one so much at once that a hop to another thread costs little.
constexpr size_t kFirstChunk = size_t{256} << 10;
constexpr size_t kChunk = size_t{1} << 20;

auto write_of(blob::BlobWriter& writer, std::string_view bytes) {
  return [&writer, bytes] { return writer.write(bytes); };
}

}  // namespace

Shared shared_of(Door& door) {
  auto places = door.options().places;
  return {&door.store(), &door.blobs(), &door.offload(), places ? std::move(places) : std::make_shared<const Places>()};
}

// While one piece is hashed and written, the next one is received.
base::Task<base::Result<blob::BlobInfo>> receive(Shared shared, net::Request& request) {
  // Nobody asks for the MD5 of what clients log.
  auto begin = [&] { return shared.blobs->begin(blob::Hashes::kSha256); };
  auto writer = co_await shared.offload->run(begin);
  if (!writer) co_return std::unexpected(writer.error());
  using Write = net::Offload::Begun<decltype(write_of(**writer, {}))>;
  std::array<std::vector<char>, 2> buffers;
  std::optional<Write> writing;  // of the other buffer
  base::Result<void> written;
  for (size_t turn = 0, ended = 0; ended == 0; turn ^= 1) {
    std::vector<char>& buffer = buffers[turn];
    if (buffer.empty()) buffer.resize(turn == 0 ? kFirstChunk : kChunk);
    // Small pieces of the wire are gathered, so that a disk write is worth its hop to another thread.
    size_t filled = 0;
    base::Result<size_t> got = 0;
    while (filled < buffer.size() && ended == 0) {
      got = co_await request.read_some({buffer.data() + filled, buffer.size() - filled});
      if (!got) break;
      filled += *got;
      ended = *got == 0 ? 1 : 0;
    }
    if (writing) written = co_await *writing;
    writing.reset();
    if (!got) co_return std::unexpected(got.error());
    if (!written) co_return std::unexpected(written.error());
    if (filled > 0) writing.emplace(*shared.offload, write_of(**writer, {buffer.data(), filled}));
    if (turn == 1) buffers[0].resize(kChunk);
  }
  if (writing) written = co_await *writing;
  writing.reset();
  if (!written) co_return std::unexpected(written.error());
  auto finish = [&] { return (*writer)->finish(); };
  co_return co_await shared.offload->run(finish);
}

// Two uploads of one path may end here in another order than their rows were written in. Who makes the file looks at
// the row again afterwards, so the last one leaves what the row says.
base::Task<base::Result<void>> settle_plain(Shared shared, net::Request& request, std::string path) {
  constexpr int kRounds = 8;
  if (!shared.places->destination) co_return base::Result<void>();
  std::optional<base::Digest> made;
  auto look = [&](store::Tx& tx) -> base::Result<std::optional<base::Digest>> {
    auto file = find_file(tx, path);
    if (file) return std::optional(file->digest);
    if (file.error().code != base::Code::kNotFound) return std::unexpected(file.error());
    return std::optional<base::Digest>();
  };
  for (int round = 0; round < kRounds; ++round) {
    auto wanted = co_await shared.store->read(request.ctx, look);
    if (!wanted) co_return std::unexpected(wanted.error());
    if (round > 0 && *wanted == made) break;
    made = *wanted;
    auto work = [&] {
      return made ? put_plain(*shared.places, *shared.blobs, path, *made) : shared.places->destination->remove(path);
    };
    if (auto done = co_await shared.offload->run(work); !done) co_return std::unexpected(done.error());
  }
  co_return base::Result<void>();
}

}  // namespace api::mlflow
