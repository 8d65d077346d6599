// Names of the Hugging Face hub, and which names of its files are safe to write.
#pragma once
#include <string>
#include <string_view>

namespace fathom::hub {

// What somebody asks for: OWNER/NAME, with :TAG (the quantisation of one of its GGUF files) and @REVISION (a branch, a
// tag, a commit) behind it in any order; or an address of the hub's pages:
//
//     deepseek-ai/DeepSeek-V2-Lite@main
//     someone/DeepSeek-V2-Lite-GGUF:Q4_K_M
//     https://huggingface.co/OWNER/NAME[/tree/REVISION | /blob/REVISION/FILE | /resolve/REVISION/FILE]
struct RepositoryName {
  std::string owner, name;
  std::string tag = {};       // empty: none
  std::string revision = {};  // empty: none, which is "main"
  std::string file = {};      // of an address that names one

  std::string id() const { return owner + '/' + name; }
};

// bad_input with what is wrong. Owner and name are of letters, digits, '-', '_' and '.', and neither begins with '.' or
// '-', so that they may stand in a path as they are.
RepositoryName parse_repository(std::string_view text);

// Whether a text is OWNER/NAME or OWNER/NAME:TAG and no more.
bool is_repository_name(std::string_view text) noexcept;

// Why a file of that name must not be written, as the end of "a file ... "; empty when it may: a relative path of plain
// components, UTF-8 without control characters, no '\\' and none of "", "." and "..".
std::string_view unsafe_file_name(std::string_view name) noexcept;

// Percent-encoded but for letters, digits and "-._~" and, where kept, '/'.
std::string url_encoded(std::string_view text, bool keep_slashes);

}  // namespace fathom::hub
