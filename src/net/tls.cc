#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/tls_internal.h"

namespace net {
namespace {

constexpr int64_t kTicketKeysUs =
    int64_t{12} * 3600 * 1'000'000;                           // session tickets are sealed with keys this old at most
constexpr unsigned char kProtocols[] = "\x02h2\x08http/1.1";  // in our order of preference

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                    unsigned int offered_size, void*) {
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kProtocols, sizeof kProtocols - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;  // no_application_protocol: better than words the client cannot read
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// A key that wants a passphrase is refused; OpenSSL would ask the terminal.
int no_passphrase(char*, int, int, void*) { return 0; }

base::Result<SslContext> make_context() {
  SslContext made(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = made.get();
  if (context == nullptr) return base::internal("OpenSSL: " + openssl_reason());
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_PRIORITIZE_CHACHA);
  // Forward secrecy and authenticated encryption only; TLS 1.3 has nothing else.
  if (SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1)
    return base::internal("OpenSSL: " + openssl_reason());
  // A write may take a part, go on later from another address, and an idle connection keeps no buffers.
  SSL_CTX_set_mode(context,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);                           // a record's header and body in one read
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // tickets are enough
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  SSL_CTX_set_default_passwd_cb(context, no_passphrase);
  return made;
}

X509* topmost(SSL_CTX* context) {
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(context, &chain);
  const int above = chain == nullptr ? 0 : sk_X509_num(chain);
  return above == 0 ? SSL_CTX_get0_certificate(context) : sk_X509_value(chain, above - 1);
}

bool system_vouches_for(SSL_CTX* context) {
  std::unique_ptr<X509_STORE, Freed<X509_STORE_free>> store(X509_STORE_new());
  std::unique_ptr<X509_STORE_CTX, Freed<X509_STORE_CTX_free>> check(X509_STORE_CTX_new());
  if (!store || !check || X509_STORE_set_default_paths(store.get()) != 1) return false;
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(context, &chain);
  const bool ready = X509_STORE_CTX_init(check.get(), store.get(), SSL_CTX_get0_certificate(context), chain) == 1;
  const bool vouched = ready && X509_verify_cert(check.get()) == 1;
  ERR_clear_error();
  return vouched;
}

std::string pem_of(X509* certificate) {
  std::unique_ptr<BIO, Freed<BIO_free_all>> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

void warn_of_dangers(const TlsFiles& files, X509* certificate) {
  struct stat info{};
  if (stat(files.key.c_str(), &info) == 0 && (info.st_mode & 077) != 0)
    base::log::warn("others than its owner may use the TLS key", {{"file", files.key.string()}});
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
    base::log::warn("the TLS certificate has expired", {{"file", files.certificate.string()}});
  if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
    base::log::warn("the TLS certificate is not valid yet", {{"file", files.certificate.string()}});
}

base::Result<void> ask_clients(SSL_CTX* context, const TlsFiles& files) {
  if (files.client_ca.empty()) return {};
  STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(files.client_ca.c_str());
  if (names == nullptr || SSL_CTX_load_verify_locations(context, files.client_ca.c_str(), nullptr) != 1) {
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    return base::invalid("tls_client_ca " + files.client_ca.string() +
                         " is not a PEM file of certificates: " + openssl_reason());
  }
  SSL_CTX_set_client_CA_list(context, names);  // takes them over
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (files.client_must ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  constexpr unsigned char kSessions[] = "lathe";  // a resumed session keeps its certificate; OpenSSL wants a name
  SSL_CTX_set_session_id_context(context, kSessions, sizeof kSessions - 1);
  return {};
}

base::Result<std::shared_ptr<const TlsPair>> read_pair(const TlsFiles& files) {
  ERR_clear_error();
  auto pair = std::make_shared<TlsPair>();
  TRY_SET(pair->context, make_context());
  SSL_CTX* context = pair->context.get();
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
    return base::invalid("tls_cert " + files.certificate.string() +
                         " is not a PEM file with the server's certificate first: " + openssl_reason());
  }
  if (SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return base::invalid(
        "tls_key " + files.key.string() +
        " is not a PEM private key without a passphrase that belongs to tls_cert: " + openssl_reason());
  }
  if (SSL_CTX_check_private_key(context) != 1)
    return base::invalid("tls_key " + files.key.string() + " does not belong to the certificate in " +
                         files.certificate.string());
  TRY(ask_clients(context, files));
  pair->certificate = SSL_CTX_get0_certificate(context);
  pair->self_made = !system_vouches_for(context);
  pair->authority_pem = pem_of(topmost(context));
  warn_of_dangers(files, pair->certificate);
  return pair;
}

// What tells one state of the files from another; links are followed, so a swapped link counts.
std::string state_of(const TlsFiles& files) {
  std::string out;
  for (const base::Path* file : {&files.certificate, &files.key, &files.client_ca}) {
    struct stat info{};
    if (stat(file->c_str(), &info) != 0) {
      out.append("gone;");
      continue;
    }
    for (const int64_t part : {static_cast<int64_t>(info.st_dev), static_cast<int64_t>(info.st_ino), info.st_size,
                               info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_ctim.tv_sec, info.st_ctim.tv_nsec}) {
      out.append(std::to_string(part)).append(";");
    }
  }
  return out;
}

}  // namespace

std::string openssl_reason() {
  const unsigned long code = ERR_peek_error();  // the first is the cause, the last only says who was told of it
  ERR_clear_error();
  if (code == 0) return "no reason given";
  if (ERR_SYSTEM_ERROR(code)) return std::generic_category().message(static_cast<int>(ERR_GET_REASON(code)));
  const char* text = ERR_reason_error_string(code);
  return text != nullptr ? text : "error " + std::to_string(code);
}

TlsIdentity::TlsIdentity(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsIdentity::~TlsIdentity() = default;

base::Result<std::unique_ptr<TlsIdentity>> TlsIdentity::load(TlsFiles files) {
  auto impl = std::make_unique<Impl>();
  impl->looked_at = state_of(files);
  TRY_SET(impl->pair, read_pair(files));
  impl->loaded_us = base::system_clock().mono_us();
  impl->files = std::move(files);
  return std::unique_ptr<TlsIdentity>(new TlsIdentity(std::move(impl)));
}

bool TlsIdentity::refresh(bool always) {
  std::string state = state_of(impl_->files);
  const int64_t now_us = base::system_clock().mono_us();
  {
    std::lock_guard guard(impl_->mutex);
    const bool changed = state != impl_->looked_at;
    if (!always && !changed && now_us - impl_->loaded_us < kTicketKeysUs) return true;
    impl_->looked_at = std::move(state);
    if (!changed) impl_->loaded_us = now_us;  // whatever comes of it: not again at the next look
  }
  auto pair = read_pair(impl_->files);
  if (!pair) {
    base::log::warn("the changed TLS files were refused; the certificate from before stays in force",
                    {{"why", pair.error().message}});
    return false;
  }
  base::log::info("the TLS certificate was read again", {{"file", impl_->files.certificate.string()}});
  {
    std::lock_guard guard(impl_->mutex);
    impl_->pair = std::move(*pair);
    impl_->loaded_us = now_us;
  }
  if (impl_->changed) impl_->changed();
  return true;
}

void TlsIdentity::on_change(std::function<void()> listener) { impl_->changed = std::move(listener); }

bool TlsIdentity::covers(std::string_view host) const {
  const auto pair = impl_->current();
  const std::string text(host);
  return X509_check_ip_asc(pair->certificate, text.c_str(), 0) == 1 ||
         X509_check_host(pair->certificate, text.data(), text.size(), 0, nullptr) == 1;
}

std::string TlsIdentity::first_name() const {
  const auto pair = impl_->current();
  std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(pair->certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS) continue;
    const std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                           static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
    if (!text.contains('*')) return text;
  }
  return {};
}

bool TlsIdentity::is_self_made() const { return impl_->current()->self_made; }
std::string TlsIdentity::authority_pem() const { return impl_->current()->authority_pem; }

base::Result<int64_t> certificate_end_us(const base::Path& file) {
  TRY_SET(const std::string text, base::read_file(file));
  std::unique_ptr<BIO, Freed<BIO_free_all>> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  std::unique_ptr<X509, Freed<X509_free>> certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  tm end{};
  if (!certificate || ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) != 1)
    return base::invalid(file.string() + " is not a PEM file with a certificate");
  return static_cast<int64_t>(timegm(&end)) * 1'000'000;
}

}  // namespace net
