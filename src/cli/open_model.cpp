#include "cli/open_model.h"

#include "cli/options.h"

namespace fathom {

Model open_model(const std::filesystem::path& path) {
  Model model = load_model(path);
  for (const std::string& notice : model.notices) print_notice(notice);
  return model;
}

}  // namespace fathom
