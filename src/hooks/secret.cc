#include "hooks/secret.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <memory>

#include "base/hash.h"

namespace hooks {
namespace {

constexpr char kVersion = 1;  // the first byte of what is sealed: version, nonce, text, tag
constexpr size_t kNonce = 12;
constexpr size_t kTag = 16;

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

unsigned char* bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

}  // namespace

std::string sign(std::string_view secret, std::string_view id, std::string_view timestamp, std::string_view body) {
  std::string content;
  content.reserve(id.size() + timestamp.size() + body.size() + 2);
  content.append(id).append(".").append(timestamp).append(".").append(body);
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), bytes(content), content.size(), bytes(digest),
       &size);
  digest.resize(size);
  return "v1," + base::base64_encode(digest);
}

base::Result<Sealer> Sealer::make(std::string_view key_text, const base::Path& key_file) {
  Sealer sealer;
  if (!key_text.empty()) {
    sealer.key_ = base::sha256(key_text).bytes;
    return sealer;
  }
  auto found = base::read_file(key_file, 1024);
  if (!found && found.error().code == base::Code::kNotFound) {
    std::array<uint8_t, 32> fresh{};
    base::system_random().fill(fresh);
    TRY(base::write_file_durably(key_file, {reinterpret_cast<const char*>(fresh.data()), fresh.size()}, 0600));
    found = base::read_file(key_file, 1024);
  }
  if (!found) return std::unexpected(std::move(found).error());
  if (found->size() != sealer.key_.size()) {
    return base::internal(key_file.string() + " must have 32 bytes, and has " + std::to_string(found->size()) +
                          "; it is the key of the webhooks' secrets");
  }
  std::ranges::copy(*found, sealer.key_.begin());
  return sealer;
}

base::Result<std::string> Sealer::seal(std::string_view secret, std::string_view id, base::Random& random) const {
  if (secret.empty()) return std::string();
  std::array<uint8_t, kNonce> nonce{};
  random.fill(nonce);
  const Cipher cipher(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  std::string text(secret.size(), '\0');
  std::string tag(kTag, '\0');
  int n = 0;
  const bool good =
      EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key_.data(), nonce.data()) == 1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &n, bytes(id), static_cast<int>(id.size())) == 1 &&
      EVP_EncryptUpdate(cipher.get(), bytes(text), &n, bytes(secret), static_cast<int>(secret.size())) == 1 &&
      EVP_EncryptFinal_ex(cipher.get(), bytes(text) + n, &n) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTag, tag.data()) == 1;
  if (!good) return base::internal("the webhook's secret could not be sealed");
  std::string out(1, kVersion);
  out.append(reinterpret_cast<const char*>(nonce.data()), nonce.size());
  return out.append(text).append(tag);
}

base::Result<std::string> Sealer::open(std::string_view sealed, std::string_view id) const {
  if (sealed.empty()) return std::string();
  const auto broken = [] {
    return base::internal(
        "the webhook's secret cannot be read with the key that this server has "
        "(MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY, or webhooks.key in its folder); set the secret again");
  };
  if (sealed.size() < 1 + kNonce + kTag || sealed.front() != kVersion) return broken();
  const std::string_view nonce = sealed.substr(1, kNonce);
  const std::string_view text = sealed.substr(1 + kNonce, sealed.size() - 1 - kNonce - kTag);
  std::string tag(sealed.substr(sealed.size() - kTag));
  const Cipher cipher(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  std::string out(text.size(), '\0');
  int n = 0;
  const bool good = EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key_.data(), bytes(nonce)) == 1 &&
                    EVP_DecryptUpdate(cipher.get(), nullptr, &n, bytes(id), static_cast<int>(id.size())) == 1 &&
                    EVP_DecryptUpdate(cipher.get(), bytes(out), &n, bytes(text), static_cast<int>(text.size())) == 1 &&
                    EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTag, tag.data()) == 1 &&
                    EVP_DecryptFinal_ex(cipher.get(), bytes(out) + n, &n) == 1;
  if (!good) return broken();
  return out;
}

}  // namespace hooks
