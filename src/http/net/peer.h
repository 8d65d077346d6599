// Who is at the other end, as text.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

namespace fathom::http {

// "127.0.0.1:50312", "[::1]:50312", or "unix". An IPv4 address within an IPv6 one is written as itself.
inline std::string peer_name(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    ::inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    return std::string(text) + ":" + std::to_string(ntohs(v4->sin_port));
  }
  if (address->sa_family != AF_INET6) return "unix";
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
  const std::string port = ":" + std::to_string(ntohs(v6->sin6_port));
  if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
    ::inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, text, sizeof text);
    return text + port;
  }
  ::inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
  return "[" + std::string(text) + "]" + port;
}

}  // namespace fathom::http
