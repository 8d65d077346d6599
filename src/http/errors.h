// Errors as the client sees them.
#pragma once
#include <functional>
#include <string>

#include "http/exchange.h"

namespace fathom::http {

struct ErrorInfo {
  int status = 500;
  std::string message = {};  // for a person; never holds a key, an address or other bytes of the request
  std::string type = {};     // empty: the one of the status, "invalid_request_error", "authentication_error", ...
  std::string param = {};    // the parameter at fault; empty: null
  std::string code = {};     // "model_not_found", ...; empty: null
};

// An error as the JSON text of an API.
using ErrorForm = std::function<std::string(const ErrorInfo&)>;

// OpenAI's form: {"error":{"message":...,"type":...,"param":...,"code":...}}, all four always there.
std::string openai_error(const ErrorInfo& error);

// The type that goes with a status.
std::string error_type(int status);

Reply error_reply(const ErrorInfo& error, const ErrorForm& form = openai_error);

}  // namespace fathom::http
