#include "grammar/schema/formats.h"

#include <array>

namespace fathom::grammar {
namespace {

// RFC 3339: months have their days, and 29 February the years that have it.
const std::string kDate =
    "([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
    "|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)";
const std::string kTime =
    "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
const std::string kLabel = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const std::string kByte = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const std::string kHex16 = "[0-9A-Fa-f]{1,4}";

struct Format {
  std::string_view name;
  std::string pattern;
};

const std::array<Format, 10>& formats() {
  static const std::array<Format, 10> all = {{
      {"date", kDate},
      {"date-time", kDate + "T" + kTime},
      {"duration",
       "P([0-9]{1,9}W|([0-9]{1,9}Y([0-9]{1,9}M([0-9]{1,9}D)?)?|[0-9]{1,9}M([0-9]{1,9}D)?|[0-9]{1,9}D)"
       "(T([0-9]{1,9}H([0-9]{1,9}M([0-9]{1,9}S)?)?|[0-9]{1,9}M([0-9]{1,9}S)?|[0-9]{1,9}S))?"
       "|T([0-9]{1,9}H([0-9]{1,9}M([0-9]{1,9}S)?)?|[0-9]{1,9}M([0-9]{1,9}S)?|[0-9]{1,9}S))"},
      {"email", "[A-Za-z0-9_+-]{1,32}(\\.[A-Za-z0-9_+-]{1,15}){0,2}@" +
                    std::string("[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?") +
                    "(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?){1,3}"},
      {"hostname", kLabel + "(\\." + kLabel + "){0,2}"},
      {"ipv4", kByte + "(\\." + kByte + "){3}"},
      {"ipv6", "(" + kHex16 + "(:" + kHex16 + "){7}|::|::" + kHex16 + "(:" + kHex16 + "){0,5}|" + kHex16 + "::(" +
                   kHex16 + "(:" + kHex16 + "){0,4})?)"},
      {"time", kTime},
      {"uri", "https?://" + kLabel + "(\\." + kLabel +
                  "){0,3}(:[1-9][0-9]{0,3})?(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*"
                  "(\\?([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?(#([A-Za-z0-9._~!$&'()*+,;=:@/"
                  "?-]|%[0-9A-Fa-f]{2})*)?"},
      {"uuid", "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"},
  }};
  return all;
}

}  // namespace

std::optional<std::string> format_pattern(std::string_view name) {
  for (const Format& f : formats())
    if (f.name == name) return f.pattern;
  return std::nullopt;
}

std::string format_names() {
  std::string out;
  for (const Format& f : formats()) out += (out.empty() ? "" : ", ") + std::string(f.name);
  return out;
}

}  // namespace fathom::grammar
