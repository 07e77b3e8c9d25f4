#include "net/peer.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <optional>

#include "base/fs.h"

namespace net {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);
  const sockaddr_in& v4() const { return reinterpret_cast<const sockaddr_in&>(storage); }
  const sockaddr_in6& v6() const { return reinterpret_cast<const sockaddr_in6&>(storage); }
  bool is_v6() const { return storage.ss_family == AF_INET6; }
  in_port_t port() const { return is_v6() ? v6().sin6_port : v4().sin_port; }  // network order
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

std::optional<Address> address_of(int fd, int (*ask)(int, sockaddr*, socklen_t*)) {
  Address address;
  if (ask(fd, address.get(), &address.size) != 0) return std::nullopt;
  return address;
}

bool is_loopback(const Address& address) {
  if (!address.is_v6()) return (ntohl(address.v4().sin_addr.s_addr) >> 24) == 127;
  const in6_addr& ip = address.v6().sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&ip) || (IN6_IS_ADDR_V4MAPPED(&ip) && ip.s6_addr[12] == 127);
}

bool trusted(uint32_t uid) { return uid == 0 || uid == geteuid(); }

// The socket's owner. A socket that its process has closed is reported with uid 0 and inode 0: not root's, nobody's.
struct Owner {
  uint32_t uid;
  uint32_t inode;
};

void fill_socket_id(inet_diag_sockid& id, const Address& peer, const Address& self) {
  id.idiag_sport = peer.port();
  id.idiag_dport = self.port();
  if (peer.is_v6()) {
    std::memcpy(id.idiag_src, &peer.v6().sin6_addr, 16);
    std::memcpy(id.idiag_dst, &self.v6().sin6_addr, 16);
  } else {
    id.idiag_src[0] = peer.v4().sin_addr.s_addr;
    id.idiag_dst[0] = self.v4().sin_addr.s_addr;
  }
  id.idiag_cookie[0] = id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
}

std::optional<Owner> ask_sock_diag(const Address& peer, const Address& self) {
  base::Fd fd(socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd) return std::nullopt;
  const timeval wait{.tv_sec = 0, .tv_usec = 100'000};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  struct {
    nlmsghdr header;
    inet_diag_req_v2 body;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.body.sdiag_family = static_cast<uint8_t>(peer.storage.ss_family);
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = ~0U;
  fill_socket_id(request.body.id, peer, self);
  if (send(fd.get(), &request, sizeof request, 0) != sizeof request) return std::nullopt;
  alignas(nlmsghdr) char answer[4096];
  const ssize_t n = recv(fd.get(), answer, sizeof answer, 0);
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer);
  if (n < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(inet_diag_msg))) || header->nlmsg_type != SOCK_DIAG_BY_FAMILY) {
    return std::nullopt;
  }
  const auto* found = static_cast<const inet_diag_msg*>(NLMSG_DATA(header));
  return Owner{found->idiag_uid, found->idiag_inode};
}

std::string proc_form(const Address& address) {  // as in /proc/net/tcp: words in host order, upper-case hex
  char text[64];
  if (address.is_v6()) {
    uint32_t words[4];
    std::memcpy(words, &address.v6().sin6_addr, 16);
    std::snprintf(text, sizeof text, "%08X%08X%08X%08X:%04X", words[0], words[1], words[2], words[3],
                  ntohs(address.port()));
  } else {
    std::snprintf(text, sizeof text, "%08X:%04X", address.v4().sin_addr.s_addr, ntohs(address.port()));
  }
  return text;
}

std::optional<Owner> ask_proc(const Address& peer, const Address& self) {
  auto table = base::read_file(peer.is_v6() ? "/proc/net/tcp6" : "/proc/net/tcp");
  if (!table) return std::nullopt;
  const size_t at = table->find(" " + proc_form(peer) + " " + proc_form(self) + " ");
  if (at == std::string::npos) return std::nullopt;
  Owner owner{};
  // local remote state queues timer retransmits uid timeout inode
  if (std::sscanf(table->c_str() + at, " %*s %*s %*s %*s %*s %*s %u %*d %u", &owner.uid, &owner.inode) != 2)
    return std::nullopt;
  return owner;
}

}  // namespace

Peer describe_peer(int connected_fd) {
  Peer peer;
  auto address = address_of(connected_fd, getpeername);
  if (!address) return peer;
  if (address->storage.ss_family == AF_UNIX) {
    peer.address = "unix";
    peer.loopback = true;
    return peer;
  }
  char text[INET6_ADDRSTRLEN] = "";
  const void* ip = address->is_v6() ? static_cast<const void*>(&address->v6().sin6_addr) : &address->v4().sin_addr;
  inet_ntop(address->storage.ss_family, ip, text, sizeof text);
  const std::string port = std::to_string(ntohs(address->port()));
  peer.address = address->is_v6() ? "[" + std::string(text) + "]:" + port : std::string(text) + ":" + port;
  peer.loopback = is_loopback(*address);
  return peer;
}

bool peer_is_same_user(int connected_fd) {
  auto peer = address_of(connected_fd, getpeername);
  auto self = address_of(connected_fd, getsockname);
  if (!peer || !self) return false;
  if (peer->storage.ss_family == AF_UNIX) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    return getsockopt(connected_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 && trusted(credentials.uid);
  }
  if (!is_loopback(*peer)) return false;
  auto owner = ask_sock_diag(*peer, *self);
  if (!owner) owner = ask_proc(*peer, *self);
  return owner && owner->inode != 0 && trusted(owner->uid);
}

}  // namespace net
