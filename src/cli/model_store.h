// Where pulled models are kept, and how -m names them.
#pragma once
#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>

namespace fathom {

// $FATHOM_HOME/models, else models/ in the cache folder (cache_folder()). bad_input when neither is known.
std::filesystem::path model_store_folder();

// The path of OWNER/NAME, or OWNER/NAME:TAG, in the store. A file or folder of that name, and what the store does not
// have, stay as they are. Error when the store has it, but not one whole model of it.
std::string pulled_path(const std::string& name);
// The same for CLI::Option::transform of every option that names a model.
CLI::Validator pulled_model();

}  // namespace fathom
