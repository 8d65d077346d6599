#include "hub/repository.h"

#include <algorithm>

#include "base/error.h"
#include "base/text/utf8.h"

namespace fathom::hub {
namespace {

constexpr size_t kLongestName = 96;  // the hub's own limit
constexpr size_t kLongestRevision = 256, kLongestTag = 64;
constexpr size_t kLongestComponent = 255, kLongestPath = 1024;

bool is_letter_or_digit(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_name_part(std::string_view text) noexcept {
  return !text.empty() && text.size() <= kLongestName && text[0] != '.' && text[0] != '-' &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_letter_or_digit(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_tag(std::string_view text) noexcept {
  return !text.empty() && text.size() <= kLongestTag && std::all_of(text.begin(), text.end(), [](char c) {
    return is_letter_or_digit(c) || c == '-' || c == '_' || c == '.';
  });
}

bool is_revision(std::string_view text) noexcept {
  return !text.empty() && text.size() <= kLongestRevision && unsafe_file_name(text).empty();
}

// The part of `text` in front of the first of these characters; it is taken off.
std::string_view take_until(std::string_view& text, std::string_view characters) {
  const std::string_view taken = text.substr(0, text.find_first_of(characters));
  text.remove_prefix(taken.size());
  return taken;
}

// Behind OWNER/NAME of an address of the hub's pages.
void read_page_path(std::string_view path, RepositoryName& out) {
  while (path.ends_with('/')) path.remove_suffix(1);
  if (path.empty()) return;
  path.remove_prefix(1);
  const std::string_view kind = take_until(path, "/");
  if ((kind != "tree" && kind != "blob" && kind != "resolve") || path.size() < 2)
    throw_bad_input(
        "{}: behind the name of a repository only /tree/REVISION, /blob/REVISION/FILE or "
        "/resolve/REVISION/FILE may stand in an address",
        quoted_for_message(kind));
  path.remove_prefix(1);
  out.revision = take_until(path, "/");
  if (kind != "tree" && path.size() > 1) out.file = path.substr(1);
}

void read_suffixes(std::string_view text, std::string_view whole, RepositoryName& out) {
  while (!text.empty()) {
    const char kind = text[0];
    text.remove_prefix(1);
    // A tag has no '@', a revision may have ':' in no case.
    std::string& target = kind == '@' ? out.revision : out.tag;
    if (!target.empty())
      throw_bad_input("{}: has two of {}", quoted_for_message(whole), kind == '@' ? "@REVISION" : ":TAG");
    target = take_until(text, "@:");
    if (kind == ':' ? !is_tag(target) : !is_revision(target))
      throw_bad_input("{}: behind {} stands no {}", quoted_for_message(whole), kind == '@' ? '@' : ':',
                      kind == '@' ? "revision (a branch, a tag or a commit)" : "name of a quantisation such as Q4_K_M");
  }
}

bool is_host(std::string_view text) noexcept {
  return text == "huggingface.co" || text == "hf.co" || text == "hf-mirror.com";
}

}  // namespace

RepositoryName parse_repository(std::string_view text) {
  const std::string_view whole = text;
  RepositoryName out;
  bool is_address = false;
  for (const std::string_view scheme : {"https://", "http://"})
    if (text.starts_with(scheme)) {
      text.remove_prefix(scheme.size());
      is_address = true;
    }
  if (const size_t slash = text.find('/'); slash != std::string_view::npos && is_host(text.substr(0, slash)))
    text.remove_prefix(slash + 1);
  else if (is_address)
    throw_bad_input("{}: is no address of the hub; OWNER/NAME is needed (HF_ENDPOINT names another hub)",
                    quoted_for_message(whole));
  if (is_address) text = text.substr(0, text.find_first_of("?#"));
  out.owner = take_until(text, "/@:");
  if (text.starts_with('/')) {
    text.remove_prefix(1);
    out.name = take_until(text, "/@:");
  }
  if (!is_name_part(out.owner) || !is_name_part(out.name))
    throw_bad_input("{}: is no name of a repository; it is OWNER/NAME, for example deepseek-ai/DeepSeek-V2-Lite",
                    quoted_for_message(whole));
  if (text.starts_with('/') && is_address)
    read_page_path(text, out);
  else if (text.starts_with('/'))
    throw_bad_input("{}: has more than OWNER/NAME; a file of it is named by --file", quoted_for_message(whole));
  else
    read_suffixes(text, whole, out);
  if (!out.revision.empty() && !is_revision(out.revision))
    throw_bad_input("{}: names no revision that there can be", quoted_for_message(whole));
  return out;
}

bool is_repository_name(std::string_view text) noexcept {
  std::string_view rest = text;
  const std::string_view owner = rest.substr(0, std::min(rest.find('/'), rest.size()));
  if (owner.size() == rest.size()) return false;
  rest.remove_prefix(owner.size() + 1);
  const size_t colon = rest.find(':');
  return is_name_part(owner) && is_name_part(rest.substr(0, colon)) &&
         (colon == std::string_view::npos || is_tag(rest.substr(colon + 1)));
}

std::string_view unsafe_file_name(std::string_view name) noexcept {
  if (name.empty()) return "without a name";
  if (name.size() > kLongestPath) return "whose name is too long";
  if (find_invalid_utf8(name) != std::string_view::npos) return "whose name is no UTF-8";
  for (size_t at = 0; at < name.size();) {
    const Utf8Char c = decode_utf8(name, at);
    const bool steers = c.code_point < 0x20 || (c.code_point >= 0x7F && c.code_point < 0xA0) ||
                        (c.code_point >= 0x202A && c.code_point <= 0x202E) ||
                        (c.code_point >= 0x2066 && c.code_point <= 0x2069);
    if (steers || c.code_point == '\\') return "whose name holds a control character or a backslash";
    at += c.length;
  }
  if (name[0] == '/') return "whose name is an absolute path";
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return "whose name leads elsewhere";
    if (part.size() > kLongestComponent) return "whose name is too long";
    begin = end + 1;
  }
  return {};
}

std::string url_encoded(std::string_view text, bool keep_slashes) {
  std::string out;
  for (const char c : text) {
    if (is_letter_or_digit(c) || std::string_view("-._~").find(c) != std::string_view::npos ||
        (keep_slashes && c == '/'))
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace fathom::hub
