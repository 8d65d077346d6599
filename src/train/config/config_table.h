// docs/config.md: every key of a training config as Markdown.
#pragma once
#include <string>

namespace fathom {

std::string config_table();

}  // namespace fathom
