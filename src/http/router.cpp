#include "http/router.h"

#include <algorithm>

#include "base/error.h"

namespace fathom::http {
namespace {

using Segments = std::vector<std::string>;

bool is_parameter(std::string_view segment) { return segment.starts_with('{'); }
bool is_rest(std::string_view segment) { return segment.ends_with("*}"); }

std::string parameter_name(std::string_view segment) {
  return std::string(segment.substr(1, segment.size() - (is_rest(segment) ? 3 : 2)));
}

Segments split_pattern(std::string_view pattern) {
  if (!pattern.starts_with('/')) throw_bad_input("route {}: a pattern begins with '/'", pattern);
  Segments segments;
  for (size_t at = 1; at <= pattern.size();) {
    const size_t slash = std::min(pattern.find('/', at), pattern.size());
    segments.emplace_back(pattern.substr(at, slash - at));
    at = slash + 1;
  }
  for (size_t i = 0; i < segments.size(); ++i) {
    const std::string& s = segments[i];
    if (s.find_first_of("{}*") == std::string::npos) continue;
    const bool whole = is_parameter(s) && s.ends_with('}') && !parameter_name(s).empty() &&
                       parameter_name(s).find_first_of("{}*") == std::string::npos;
    if (!whole || (is_rest(s) && i + 1 != segments.size()))
      throw_bad_input("route {}: a segment is literal, {{name}}, or at the end {{name*}}", pattern);
  }
  return segments;
}

// Literal before {x} before {x*}, segment by segment: sorted so, the first pattern that fits is the most specific.
std::string rank_of(const Segments& segments) {
  std::string rank;
  for (const std::string& s : segments) rank += is_rest(s) ? '2' : is_parameter(s) ? '1' : '0';
  return rank;
}

// Whether the pattern fits; {names} are added to `parameters`.
bool fits(const Segments& pattern, const Segments& path, std::map<std::string, std::string>& parameters) {
  parameters.clear();
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (i >= path.size()) return false;
    if (is_rest(pattern[i])) {
      std::string rest = path[i];
      for (size_t j = i + 1; j < path.size(); ++j) rest += '/' + path[j];
      if (rest.empty()) return false;
      parameters[parameter_name(pattern[i])] = std::move(rest);
      return true;
    }
    if (is_parameter(pattern[i])) {
      if (path[i].empty()) return false;
      parameters[parameter_name(pattern[i])] = path[i];
    } else if (pattern[i] != path[i]) {
      return false;
    }
  }
  return pattern.size() == path.size();
}

}  // namespace

void Router::add(std::string method, std::string pattern, Access access, Handler handler) {
  Segments segments = split_pattern(pattern);
  if (!handler) throw_bad_input("route {} {}: it has no handler", method, pattern);
  for (size_t i = 0; i < routes_.size(); ++i)
    if (routes_[i].method == method && routes_[i].pattern == pattern)
      throw_bad_input("route {} {}: it is there already", method, pattern);
  size_t at = 0;
  while (at < patterns_.size() && rank_of(patterns_[at]) <= rank_of(segments)) ++at;
  patterns_.insert(patterns_.begin() + static_cast<ptrdiff_t>(at), std::move(segments));
  routes_.insert(routes_.begin() + static_cast<ptrdiff_t>(at),
                 Route{std::move(method), std::move(pattern), access, std::move(handler)});
}

void Router::add_error_form(std::string path_prefix, ErrorForm form) {
  forms_.emplace_back(std::move(path_prefix), std::move(form));
}

Router::Match Router::find(std::string_view method, const Segments& segments) const {
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  Match match;
  std::map<std::string, std::string> parameters;
  for (size_t i = 0; i < routes_.size(); ++i) {
    if (!fits(patterns_[i], segments, parameters)) continue;
    const std::string& has = routes_[i].method;
    if (std::find(match.allowed.begin(), match.allowed.end(), has) == match.allowed.end()) match.allowed.push_back(has);
    if (match.route == nullptr && has == wanted) {
      match.route = &routes_[i];
      match.parameters = parameters;
    }
  }
  if (std::find(match.allowed.begin(), match.allowed.end(), "GET") != match.allowed.end())
    match.allowed.emplace_back("HEAD");
  return match;
}

const ErrorForm& Router::error_form(std::string_view path) const noexcept {
  for (const auto& [prefix, form] : forms_)
    if (path.starts_with(prefix)) return form;
  return default_form_;
}

}  // namespace fathom::http
