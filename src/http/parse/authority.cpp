#include "http/parse/authority.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/text/suggest.h"

namespace fathom::http {
namespace {

bool is_host_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

bool is_port(std::string_view text) {
  return text.size() <= 5 && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_ip_address(std::string_view host) {
  in6_addr parsed;
  const std::string text(host);
  return inet_pton(AF_INET, text.c_str(), &parsed) == 1 || inet_pton(AF_INET6, text.c_str(), &parsed) == 1;
}

}  // namespace

std::optional<std::string> host_of(std::string_view authority) {
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view after = authority.substr(end + 1);
    if (!after.empty() && (after[0] != ':' || !is_port(after.substr(1)))) return std::nullopt;
    const std::string host = lower_case(authority.substr(1, end - 1));
    return is_ip_address(host) ? std::optional(host) : std::nullopt;
  }
  const size_t colon = std::min(authority.find(':'), authority.size());
  if (colon < authority.size() && !is_port(authority.substr(colon + 1))) return std::nullopt;
  std::string host = lower_case(authority.substr(0, colon));
  if (host.ends_with('.')) host.pop_back();
  if (host.empty() || !std::all_of(host.begin(), host.end(), is_host_char)) return std::nullopt;
  return host;
}

bool host_allowed(std::string_view host, std::string_view address, const std::vector<std::string>& listed) {
  if (is_ip_address(host) || host == "localhost" || host.ends_with(".localhost") || host == address) return true;
  return std::any_of(listed.begin(), listed.end(),
                     [&](const std::string& name) { return name == "*" || equal_in_any_case(name, host); });
}

Origin classify_origin(std::string_view origin, std::string_view host, const std::vector<std::string>& listed) {
  if (origin.empty()) return Origin::none;
  for (const std::string_view scheme : {"http://", "https://"})
    if (origin.starts_with(scheme) && !host.empty() && equal_in_any_case(origin.substr(scheme.size()), host))
      return Origin::same;
  if (std::find(listed.begin(), listed.end(), origin) != listed.end() && origin != "*") return Origin::listed;
  return std::find(listed.begin(), listed.end(), "*") != listed.end() ? Origin::any : Origin::foreign;
}

}  // namespace fathom::http
