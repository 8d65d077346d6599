#include "cli/serve/model_names.h"

#include <set>

#include "base/error.h"
#include "cli/model_store.h"

namespace fathom {
namespace {

std::string name_of_path(const std::filesystem::path& path) {
  const std::filesystem::path whole = std::filesystem::absolute(path).lexically_normal();
  const std::filesystem::path last = whole.has_filename() ? whole.filename() : whole.parent_path().filename();
  return last.extension() == ".gguf" ? last.stem().string() : last.string();
}

NamedPath named_path(const std::string& model) {
  std::error_code ignored;
  const size_t sign = model.find('=');
  const bool has_name = sign != std::string::npos && model.find('/') > sign && !std::filesystem::exists(model, ignored);
  if (!has_name) {
    const std::filesystem::path path = pulled_path(model);
    return {name_of_path(path), path};
  }
  NamedPath named{model.substr(0, sign), pulled_path(model.substr(sign + 1))};
  if (named.name.empty() || named.path.empty())
    throw_bad_input("--model {}: needed is NAME=PATH, or a path alone", model);
  return named;
}

}  // namespace

std::vector<NamedPath> named_paths(const std::vector<std::string>& models, const std::string& only_name) {
  if (!only_name.empty() && models.size() > 1)
    throw_bad_input("--name {}: there are {} models; name each by --model NAME=PATH", only_name, models.size());
  std::vector<NamedPath> paths;
  std::set<std::string> names;
  for (const std::string& model : models) {
    paths.push_back(named_path(model));
    if (!only_name.empty()) paths.back().name = only_name;
    if (!names.insert(paths.back().name).second)
      throw_bad_input("--model {}: another model is called {} already; give each its own name, NAME=PATH", model,
                      paths.back().name);
  }
  return paths;
}

}  // namespace fathom
