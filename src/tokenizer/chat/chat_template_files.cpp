#include "tokenizer/chat/chat_template_files.h"

#include "base/error.h"
#include "base/file/file.h"
#include "base/json/json.h"
#include "base/text/utf8.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxTemplateBytes = uint64_t{1} << 20;
constexpr const char* kDefault = "default";

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::string template_text(const fs::path& path) {
  return std::string(without_byte_order_mark(read_file(path, kMaxTemplateBytes)));
}

ChatTemplates templates_in_files(const fs::path& folder) {
  ChatTemplates found;
  if (is_there(folder / "chat_template.jinja")) found.emplace(kDefault, template_text(folder / "chat_template.jinja"));
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder / "additional_chat_templates", ignored))
    if (entry.path().extension() == ".jinja") found.emplace(entry.path().stem().string(), template_text(entry.path()));
  return found;
}

ChatTemplates templates_of_list(const json::array& list, const std::string& where) {
  ChatTemplates found;
  for (const json::value& entry : list) {
    const json::object* object = entry.if_object();
    const json::value* name = object ? object->if_contains("name") : nullptr;
    const json::value* text = object ? object->if_contains("template") : nullptr;
    if (name == nullptr || text == nullptr || !name->is_string() || !text->is_string())
      throw_bad_input("{}: chat_template is a list, but not of objects with a name and a template.", where);
    found.emplace(std::string_view(name->get_string()), std::string_view(text->get_string()));
  }
  return found;
}

// chat_template of a JSON file: a string, a list, or nothing.
ChatTemplates templates_in_json(const fs::path& path) {
  if (!is_there(path)) return {};
  const std::string where = path.string();
  const json::value root = parse_json(read_file(path), where);
  if (!root.is_object()) throw_bad_input("{}: found {}, needed an object.", where, json_kind_name(root));
  const json::value* found = root.get_object().if_contains("chat_template");
  if (found == nullptr || found->is_null()) return {};
  if (const json::string* text = found->if_string()) return {{kDefault, std::string(std::string_view(*text))}};
  if (const json::array* list = found->if_array()) return templates_of_list(*list, where);
  throw_bad_input("{}: chat_template is {}, needed a string.", where, json_kind_name(*found));
}

}  // namespace

ChatTemplates find_chat_templates(const fs::path& folder) {
  ChatTemplates found = templates_in_files(folder);
  if (found.empty()) found = templates_in_json(folder / "tokenizer_config.json");
  if (found.empty()) found = templates_in_json(folder / "chat_template.json");
  return found;
}

}  // namespace fathom
