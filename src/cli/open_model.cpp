#include "cli/open_model.h"

#include <cstdio>

#include "base/utf8.h"
#include "cli/options.h"

namespace fathom {
namespace {

void make_valid(json::value& value) {
  if (json::object* object = value.if_object()) {
    for (auto& item : *object) make_valid(item.value());
  } else if (json::array* array = value.if_array()) {
    for (json::value& item : *array) make_valid(item);
  } else if (json::string* text = value.if_string()) {
    if (find_invalid_utf8(std::string_view(*text)) != std::string_view::npos)
      value = json::string(replace_invalid_utf8(std::string_view(*text)));
  }
}

}  // namespace

Model open_model(const std::filesystem::path& path) {
  Model model = load_model(path);
  for (const std::string& notice : model.notices) print_notice(notice);
  return model;
}

void print_json(json::value value) {
  make_valid(value);
  fmt::print("{}\n", json::serialize(value));
}

}  // namespace fathom
