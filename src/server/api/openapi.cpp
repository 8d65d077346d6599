#include "server/api/openapi.h"

#include <cmath>
#include <string>

#include "base/text/suggest.h"
#include "server/api/answer_schemas.h"

namespace fathom::server {
namespace {

using Type = Parameter::Type;

json::value number_json(double d) {
  return std::nearbyint(d) == d && std::abs(d) <= kNoLimit ? json::value(static_cast<int64_t>(d)) : json::value(d);
}

const char* type_name(Type type) {
  switch (type) {
    case Type::number:
      return "number";
    case Type::integer:
      return "integer";
    case Type::boolean:
      return "boolean";
    case Type::text:
      return "string";
    case Type::object:
      return "object";
    case Type::array:
      return "array";
    case Type::any:
    case Type::ignored:
    case Type::refused:
      break;
  }
  return nullptr;
}

// null counts as absent, whatever the parameter.
json::object schema_of(const Parameter& p) {
  json::object schema;
  if (!p.form.empty()) schema = parse_json(p.form, std::string(p.name)).as_object();
  if (const char* name = type_name(p.type)) schema["type"] = json::array{name, "null"};
  if (p.type == Type::refused) schema["type"] = "null";
  if (p.type == Type::number || p.type == Type::integer) {
    schema["minimum"] = number_json(p.least);
    schema["maximum"] = number_json(p.most);
  }
  std::string meaning(p.meaning);
  if (p.type == Type::ignored) meaning = "taken, and changes no answer";
  if (p.type == Type::refused) meaning = "not supported: " + meaning;
  if (!meaning.empty()) schema["description"] = meaning;
  return schema;
}

json::object body_schema(const ApiRoute& route) {
  json::object properties;
  for (const auto list : route.body())
    for (const Parameter& p : list) properties[p.name] = schema_of(p);
  json::array required;
  for (const std::string_view name : route.needed) required.emplace_back(name);
  return {{"type", "object"},
          {"properties", std::move(properties)},
          {"required", std::move(required)},
          {"additionalProperties", false}};
}

json::object content(std::string_view type, json::object schema) { return {{type, {{"schema", std::move(schema)}}}}; }

json::object answers(const ApiRoute& route) {
  json::object ok = route.answer.empty() ? content(route.content_type, {{"type", "string"}})
                                         : content("application/json", schema_reference(route.answer));
  if (!route.event.empty())
    ok["text/event-stream"] = {{"schema", {{"type", "string"}}}, {"x-event-data", schema_reference(route.event)}};
  return {{"200",
           {{"description", route.event.empty() ? "the answer" : "the answer; a stream with stream: true"},
            {"content", std::move(ok)}}},
          {"default",
           {{"description", "why there is none"},
            {"content", content("application/json", schema_reference(route.failure))}}}};
}

json::value string_parameter(const char* name, const char* in, bool required) {
  return json::object{{"name", name}, {"in", in}, {"required", required}, {"schema", {{"type", "string"}}}};
}

json::object operation(const ApiRoute& route) {
  json::object out{{"summary", route.summary}, {"responses", answers(route)}};
  json::array parameters;
  if (route.pattern.find("{id") != std::string_view::npos) parameters.push_back(string_parameter("id", "path", true));
  if (route.has_model_query) parameters.push_back(string_parameter("model", "query", false));
  if (!parameters.empty()) out["parameters"] = std::move(parameters);
  if (route.body != nullptr)
    out["requestBody"] = {{"required", true}, {"content", content("application/json", body_schema(route))}};
  if (route.access == http::Access::open) out["security"] = json::array();
  return out;
}

// "/v1/models/{id*}" is "/v1/models/{id}" there.
std::string path_of(std::string_view pattern) {
  std::string path(pattern);
  std::erase(path, '*');
  return path;
}

}  // namespace

json::object openapi_document() {
  json::object paths;
  for (const ApiRoute& route : api_routes()) {
    json::value& path = paths[path_of(route.pattern)];
    if (path.is_null()) path = json::object();
    path.as_object()[lower_case(route.method)] = operation(route);
  }
  return {{"openapi", "3.1.0"},
          {"info", {{"title", "fathom serve"}, {"version", FATHOM_VERSION}}},
          {"paths", std::move(paths)},
          {"components",
           {{"schemas", answer_schemas()},
            {"securitySchemes",
             {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}},
              {"header", {{"type", "apiKey"}, {"in", "header"}, {"name", "x-api-key"}}}}}}},
          // Without keys (--keys) none is asked for.
          {"security", {json::object(), {{"bearer", json::array()}}, {{"header", json::array()}}}}};
}

void show_openapi(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>& exchange) {
  exchange->reply({.body = json::serialize(openapi_document())});
}

}  // namespace fathom::server
