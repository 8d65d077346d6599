// Whether a request is taken, decided from its head alone, before any of its body is read.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "http/keys.h"
#include "http/options.h"
#include "http/parse/request_parser.h"
#include "http/parse/target.h"
#include "http/router.h"

namespace fathom::http {

struct AdmissionContext {
  const Options& options;
  const Router& router;
  const KeySet& keys;
  bool local_only = true;  // the server is reachable from this machine alone
  bool unix_socket = false;
  bool draining = false;
};

struct Admission {
  const Route* route = nullptr;  // null: `refusal` is the answer
  std::optional<Reply> refusal;  // an error, or the answer to OPTIONS
  Target target;
  std::map<std::string, std::string> path_parameters;
  std::string key_name;
  Headers cors;  // to be added to the answer, whatever it is
};

// In this order: target 400, Host 400 or 403, Origin 403, preflight 204, key 401 (403 for admin routes), path 404,
// method 405, draining 503, content coding 415, content type 415, Expect 417, length 413.
Admission admit(const RequestHead& head, const AdmissionContext& context);

}  // namespace fathom::http
