// JSON schemas of what the routes answer, by the names that api_routes() has for them. Objects are closed: what an
// answer holds is listed here. tests/end_to_end/serve.py checks its answers against them.
#pragma once
#include "base/json/json.h"

namespace fathom::server {

json::object answer_schemas();

// {"$ref": ...} to one of them, from anywhere in the document of the API.
json::object schema_reference(std::string_view name);

}  // namespace fathom::server
