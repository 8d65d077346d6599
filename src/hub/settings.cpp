#include "hub/settings.h"

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/file/file.h"
#include "base/text/suggest.h"

namespace fathom::hub {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLargestTokenFile = 4096;

std::string without_spaces(std::string text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (!text.empty() && is_space(text.back())) text.pop_back();
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), is_space));
  return text;
}

fs::path token_file(const Environment& environment) {
  if (const std::string path = environment("HF_TOKEN_PATH"); !path.empty()) return path;
  if (const std::string home = environment("HF_HOME"); !home.empty()) return fs::path(home) / "token";
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty())
    return fs::path(cache) / "huggingface" / "token";
  const std::string home = environment("HOME");
  return home.empty() ? fs::path() : fs::path(home) / ".cache" / "huggingface" / "token";
}

std::string find_token(const Environment& environment) {
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})
    if (std::string token = without_spaces(environment(name)); !token.empty()) return token;
  const fs::path file = token_file(environment);
  std::error_code ignored;
  if (file.empty() || !fs::is_regular_file(file, ignored)) return {};
  return without_spaces(read_file(file, kLargestTokenFile));
}

// Of an origin: may others on the way read what is sent?
bool is_private(std::string_view origin) {
  if (origin.starts_with("https://")) return true;
  std::string_view host = origin.substr(std::string_view("http://").size());
  if (host.starts_with('[')) return host.starts_with("[::1]");
  host = host.substr(0, host.find(':'));
  return host == "localhost" || host == "127.0.0.1";
}

}  // namespace

std::string process_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string origin_of(std::string_view url) {
  const size_t colon = url.find("://");
  if (colon == std::string_view::npos) return {};
  const std::string_view scheme = url.substr(0, colon);
  std::string_view rest = url.substr(colon + 3);
  const std::string_view host = rest.substr(0, rest.find_first_of("/?#"));
  const bool is_http = equal_in_any_case(scheme, "http") || equal_in_any_case(scheme, "https");
  const bool plain =
      std::all_of(host.begin(), host.end(), [](char c) { return c > 0x20 && c < 0x7F && c != '@' && c != '\\'; });
  if (!is_http || host.empty() || !plain) return {};
  return lower_case(fmt::format("{}://{}", scheme, host));
}

Settings read_settings(const Environment& environment) {
  Settings s;
  s.endpoint = without_spaces(environment("HF_ENDPOINT"));
  if (s.endpoint.empty()) s.endpoint = "https://huggingface.co";
  while (s.endpoint.ends_with('/')) s.endpoint.pop_back();
  const std::string origin = origin_of(s.endpoint);
  if (origin.empty() || s.endpoint.find_first_of("?#") != std::string::npos)
    throw_bad_input("HF_ENDPOINT={}: is no address of a hub, such as https://huggingface.co",
                    quoted_for_message(s.endpoint));
  s.token = find_token(environment);
  if (!std::all_of(s.token.begin(), s.token.end(), [](char c) { return c > 0x20 && c < 0x7F; }))
    throw_bad_input("the token of the hub (HF_TOKEN or its file) holds spaces or characters that no token has");
  if (!s.token.empty() && !is_private(origin)) {
    s.notice = fmt::format("{} is not encrypted, so the token is not sent there", origin);
    s.token.clear();
  }
  return s;
}

fs::path model_store(const fs::path& cache_folder, const Environment& environment) {
  if (const std::string home = environment("FATHOM_HOME"); !home.empty()) return fs::path(home) / "models";
  return cache_folder.empty() ? fs::path() : cache_folder / "models";
}

}  // namespace fathom::hub
