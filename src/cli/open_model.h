// A model for a command: loaded, with what people should know about it said on stderr.
#pragma once
#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>

#include "load/load.h"
#include "tokenizer/chat/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

// load_model, then its notices.
Model open_model(const std::filesystem::path& path);

// --chat-template
CLI::Option* add_chat_template_option(CLI::App& command, std::string& asked);

// choose_chat_template, whose notice is said unless quiet.
ChatTemplate open_chat_template(const Model& model, const Tokenizer& tokenizer, const std::string& asked,
                                bool has_tools, bool quiet);

}  // namespace fathom
