#include "cli/model_store.h"

#include "base/error.h"
#include "base/file/file.h"
#include "cli/options.h"
#include "hub/settings.h"
#include "hub/store.h"

namespace fathom {

std::filesystem::path model_store_folder() {
  std::filesystem::path store = hub::model_store(cache_folder());
  if (store.empty()) throw_bad_input("there is no folder for models; set FATHOM_HOME, XDG_CACHE_HOME or HOME");
  return store;
}

std::string pulled_path(const std::string& name) {
  if (is_there(name)) return name;
  const auto found = hub::find_stored(hub::model_store(cache_folder()), name);
  return found ? found->string() : name;
}

CLI::Validator pulled_model() {
  return CLI::Validator(
      [](std::string& name) -> std::string {
        name = pulled_path(name);
        return {};
      },
      "");
}

}  // namespace fathom
