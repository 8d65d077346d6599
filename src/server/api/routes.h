// Every route that the service answers, listed once: the router is filled from it, and the OpenAPI document is made of
// it.
#pragma once
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "server/api/request_context.h"

namespace fathom::server {

struct ApiRoute {
  using Handler = void (*)(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);

  std::string_view method, pattern;  // as of http::Router
  std::string_view summary;
  Handler handler = nullptr;                  // nullptr: the service's own
  ParameterLists (*body)() = nullptr;         // nullptr: none
  std::vector<std::string_view> needed = {};  // parameters that must be there
  std::string_view answer = {};               // its schema (answer_schemas.h); empty: no JSON
  std::string_view event = {};                // of an event's data, where the answer may be a stream; empty: it may not
  std::string_view failure = "Error";         // of what is not 2xx
  std::string_view content_type = "application/json";
  http::Access access = http::Access::key;
  bool has_model_query = false;  // ?model=NAME
};

std::span<const ApiRoute> api_routes();

// What the bodies of these routes may hold.
ParameterLists chat_parameters();
ParameterLists completion_parameters();
ParameterLists embedding_parameters();
ParameterLists response_parameters();
ParameterLists message_parameters();
ParameterLists tokenize_parameters();
ParameterLists detokenize_parameters();
ParameterLists template_parameters();

}  // namespace fathom::server
