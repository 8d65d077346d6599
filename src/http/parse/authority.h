// Which `Host` and `Origin` are answered. Both defend a server on this machine or network against pages that a browser
// here has open: a name that a foreign page has pointed at our address (DNS rebinding) is not among our hosts, and a
// request that a foreign page sends carries that page's origin.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fathom::http {

// The host of "host", "host:port", "[v6]" or "[v6]:port": lower case, without brackets and a final dot. Null when it is
// none of these.
std::optional<std::string> host_of(std::string_view authority);

// IP addresses (no name to rebind), localhost and names that end in .localhost, the address we listen on, and those
// listed; "*" in the list is any.
bool host_allowed(std::string_view host, std::string_view address, const std::vector<std::string>& listed);

enum class Origin : unsigned char {
  none,     // no header: no page sent it
  same,     // our own page: http(s)://HOST with the Host of this request
  listed,   // one of the list
  any,      // the list holds "*"
  foreign,  // everything else, "null" included
};

// `origin` and `host` are the values of those headers; `origin` is compared as a whole with each of the list.
Origin classify_origin(std::string_view origin, std::string_view host, const std::vector<std::string>& listed);

}  // namespace fathom::http
