// What the environment says of the hub and of where models are kept.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace fathom::hub {

// The value of a variable; empty when it is not set.
using Environment = std::function<std::string(const char* name)>;
std::string process_environment(const char* name);

struct Settings {
  std::string endpoint = {};  // "https://huggingface.co", without a '/' at its end
  std::string token = {};     // empty: none is sent
  std::string notice = {};    // why a token that is there is not sent; empty: nothing to say
};

// HF_ENDPOINT; HF_TOKEN (or HUGGING_FACE_HUB_TOKEN), else the file HF_TOKEN_PATH, else $HF_HOME/token, else
// huggingface/token in $XDG_CACHE_HOME or ~/.cache: as huggingface_hub has them. A token goes over https, or to this
// machine, and nowhere else. bad_input for an endpoint that is no http address, and for a token that no header can
// hold.
Settings read_settings(const Environment& environment = process_environment);

// scheme://host[:port] of an http or https address with nothing behind it but a path; empty when it is none.
std::string origin_of(std::string_view url);

// models/ in $FATHOM_HOME; else in `cache_folder`, where it is known. Empty when neither is.
std::filesystem::path model_store(const std::filesystem::path& cache_folder,
                                  const Environment& environment = process_environment);

}  // namespace fathom::hub
