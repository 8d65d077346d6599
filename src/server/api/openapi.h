// The document of the API, OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0): made of the lists that the server itself
// works by (routes.h, parameters.h), so that it says what holds.
#pragma once
#include "server/api/routes.h"

namespace fathom::server {

json::object openapi_document();

}  // namespace fathom::server
