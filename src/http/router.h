// Which handler answers which method and path, and who may ask.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "http/errors.h"
#include "http/exchange.h"

namespace fathom::http {

struct Route {
  std::string method;
  std::string pattern;
  Access access;
  Handler handler;
};

// Filled before the server starts, then only read: by any number of threads.
class Router {
 public:
  // A pattern is a path whose segments are literal, {name} (one segment, not empty) or, at its end, {name*} (the rest,
  // not empty, slashes included: "/v1/models/{id*}"). Of several patterns that fit a path, the one counts that is
  // literal for longest, then the one with {name} before {name*}. A pattern that is none, or a route that is there
  // already, is a bad_input Error.
  void add(std::string method, std::string pattern, Access access, Handler handler);

  // Errors that the server itself answers for paths that begin so have this form instead of OpenAI's.
  void add_error_form(std::string path_prefix, ErrorForm form);

  // All of them, most specific first.
  const std::vector<Route>& routes() const noexcept { return routes_; }

  struct Match {
    const Route* route = nullptr;      // null: no route for this method
    std::vector<std::string> allowed;  // the methods that the path has; empty: no such path
    std::map<std::string, std::string> parameters;
  };
  // `segments` as of split_target (parse/target.h). HEAD is found as GET.
  Match find(std::string_view method, const std::vector<std::string>& segments) const;

  const ErrorForm& error_form(std::string_view path) const noexcept;

 private:
  std::vector<Route> routes_;
  std::vector<std::vector<std::string>> patterns_;  // the segments of each
  std::vector<std::pair<std::string, ErrorForm>> forms_;
  ErrorForm default_form_ = openai_error;
};

}  // namespace fathom::http
