#include "hub/choice.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/error.h"
#include "base/file/file_name.h"
#include "base/json/json_fields.h"
#include "base/progress.h"
#include "base/text/suggest.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/shard_name.h"

namespace fathom::hub {
namespace {

constexpr std::string_view kGguf = ".gguf";

// Beside weights in safetensors: what the loader, the converter and a person read.
constexpr std::array<std::string_view, 11> kTextFiles = {
    "config.json",     "generation_config.json",  "tokenizer.json",    "tokenizer_config.json",
    "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt",      "chat_template.jinja",     "chat_template.json"};

// LICENSE, LICENSE-MODEL, LICENCE.md: text alone, whatever else is called so.
bool is_licence(std::string_view name) {
  if (name.find('/') != std::string_view::npos) return false;
  if (!name.starts_with("LICENSE") && !name.starts_with("LICENCE")) return false;
  return name.find('.') == std::string_view::npos || has_extension(name, ".txt") || has_extension(name, ".md");
}

bool is_text_of_model(std::string_view name) {
  return std::find(kTextFiles.begin(), kTextFiles.end(), name) != kTextFiles.end() || is_licence(name) ||
         (name.starts_with("additional_chat_templates/") && name.ends_with(".jinja"));
}

bool ends_with_tag(std::string_view text, std::string_view tag) noexcept {
  return text.size() >= tag.size() && equal_in_any_case(text.substr(text.size() - tag.size()), tag) &&
         (text.size() == tag.size() ||
          std::string_view("-./").find(text[text.size() - tag.size() - 1]) != std::string_view::npos);
}

// "NAME-Q4_K_M (2.87 GB)" of each, at most so many.
std::string models_text(const Listing& listing, const std::vector<GgufModel>& models) {
  constexpr size_t kShown = 12;
  std::vector<std::string> out;
  for (const GgufModel& m : models) {
    if (out.size() == kShown) break;
    uint64_t bytes = 0;
    for (const std::string& file : m.files) bytes += listing.find(file)->size;
    out.push_back(fmt::format("{} ({})", quoted_for_message(m.stem, 120), human_bytes(static_cast<double>(bytes))));
  }
  std::string text = fmt::format("{}", fmt::join(out, ", "));
  if (models.size() > kShown) text += fmt::format(" and {} more", models.size() - kShown);
  return text;
}

// Of GGUF files that lie beside models: importance data, and what a model of images needs.
bool is_no_model(std::string_view name) {
  const std::string_view last = name.substr(name.rfind('/') + 1);
  return last.starts_with("imatrix") || last.starts_with("mmproj");
}

std::vector<GgufModel> models_of(const Listing& listing) {
  std::vector<std::string> names;
  for (const HubFile& f : listing.files)
    if (has_extension(f.name, kGguf) && !is_no_model(f.name)) names.push_back(f.name);
  return gguf_models(names);
}

// The one of `fitting`; how it was asked for goes into the messages.
const GgufModel& only_model(const Listing& listing, const std::vector<GgufModel>& fitting,
                            const std::vector<GgufModel>& all, const Asked& asked, const std::string& how) {
  if (fitting.empty())
    throw_bad_input("{}: {} {}; there {}", asked.repository,
                    all.empty() ? "holds no GGUF file, so none" : "no GGUF file", how,
                    all.empty() ? "is none" : "are " + models_text(listing, all));
  if (fitting.size() > 1)
    throw_bad_input("{}: {} GGUF models {}: {}; choose one by {}:TAG, as in {}:Q4_K_M, or by --file NAME",
                    asked.repository, fitting.size(), how, models_text(listing, fitting), asked.repository,
                    asked.repository);
  if (!fitting.front().whole)
    throw_bad_input("{}: of {} not every part is there", asked.repository, quoted_for_message(fitting.front().stem));
  return fitting.front();
}

Choice choose_gguf(const Listing& listing, const Asked& asked) {
  const std::vector<GgufModel> all = models_of(listing);
  std::vector<GgufModel> fitting;
  std::string how = "are there";
  const auto fits = [&](const GgufModel& m) {
    if (!asked.tag.empty()) return has_tag(m.stem, asked.tag);
    if (asked.file.empty()) return true;
    return std::any_of(m.files.begin(), m.files.end(), [&](const std::string& f) {
      return f == asked.file || f.substr(f.rfind('/') + 1) == asked.file;
    });
  };
  std::copy_if(all.begin(), all.end(), std::back_inserter(fitting), fits);
  if (!asked.tag.empty()) how = fmt::format("has the quantisation {}", quoted_for_message(asked.tag));
  if (!asked.file.empty()) how = fmt::format("is called {}", quoted_for_message(asked.file));
  Choice choice;
  for (const std::string& name : only_model(listing, fitting, all, asked, how).files)
    choice.files.push_back(*listing.find(name));
  return choice;
}

[[noreturn]] void refuse_repository(const Listing& listing, const Asked& asked) {
  const auto any = [&](std::string_view ending) {
    return std::any_of(listing.files.begin(), listing.files.end(),
                       [&](const HubFile& f) { return f.name.ends_with(ending); });
  };
  if (listing.find("adapter_config.json") != nullptr || listing.find("adapter_model.safetensors") != nullptr)
    throw_unsupported("{}: is an adapter for another model, not a whole one; merge the two first", asked.repository);
  if (any(".bin") || any(".pt") || any(".pth") || any(".ckpt"))
    throw_unsupported(
        "{}: holds Python pickles (.bin, .pt) alone, which could run anything and are not downloaded; look for a "
        "repository or a revision with safetensors or GGUF",
        asked.repository);
  if (any(".safetensors"))
    throw_unsupported("{}: has safetensors, but neither {} nor {}, so it is laid out for another program",
                      asked.repository, kSafetensorsFile, kSafetensorsIndex);
  throw_bad_input("{}: holds no weights: neither safetensors nor GGUF", asked.repository);
}

}  // namespace

std::vector<GgufModel> gguf_models(const std::vector<std::string>& names) {
  std::map<std::pair<std::string, int>, GgufModel> models;  // by stem and number of parts
  for (const std::string& name : names) {
    const auto shard = parse_shard_name(name, kGguf);
    const std::string stem = shard ? shard->stem : name.substr(0, name.size() - kGguf.size());
    GgufModel& m = models[{stem, shard ? shard->count : 0}];
    m.stem = stem;
    m.files.push_back(name);
    m.whole = !shard || m.files.size() == static_cast<size_t>(shard->count);
  }
  std::vector<GgufModel> out;
  for (auto& [key, m] : models) {
    std::sort(m.files.begin(), m.files.end());
    out.push_back(std::move(m));
  }
  return out;
}

bool has_tag(std::string_view stem, std::string_view tag) noexcept {
  if (tag.empty()) return false;
  if (ends_with_tag(stem, tag)) return true;
  const size_t slash = stem.rfind('/');
  return slash != std::string_view::npos && ends_with_tag(stem.substr(0, slash), tag);
}

std::string tag_of(std::string_view stem) {
  const auto looks_right = [](std::string_view word) {
    if (equal_in_any_case(word, "f16") || equal_in_any_case(word, "bf16") || equal_in_any_case(word, "f32"))
      return true;
    const size_t at = !word.empty() && (word[0] | 0x20) == 'i' ? 1 : (word.starts_with("TQ") ? 1 : 0);
    return word.size() > at + 1 && (word[at] | 0x20) == 'q' && word[at + 1] >= '1' && word[at + 1] <= '8';
  };
  const std::string_view last = stem.substr(stem.find_last_of("-./") + 1);
  if (looks_right(last)) return std::string(last);
  const size_t slash = stem.rfind('/');
  if (slash == std::string_view::npos) return {};
  const std::string_view folder = stem.substr(0, slash);
  const std::string_view word = folder.substr(folder.find_last_of("-./") + 1);
  return looks_right(word) ? std::string(word) : std::string();
}

Choice choose_files(const Listing& listing, const Asked& asked) {
  check(asked.file.empty() || asked.tag.empty(), "a GGUF file is chosen in one way");
  if (!asked.file.empty() || !asked.tag.empty()) return choose_gguf(listing, asked);
  const HubFile* index = listing.find(kSafetensorsIndex);
  const HubFile* single = listing.find(kSafetensorsFile);
  if (index == nullptr && single == nullptr) {
    if (models_of(listing).empty()) refuse_repository(listing, asked);
    return choose_gguf(listing, asked);
  }
  if (listing.find("config.json") == nullptr)
    throw_bad_input("{}: has safetensors, but no config.json that says of what model", asked.repository);
  Choice choice;
  for (const HubFile& f : listing.files)
    if (is_text_of_model(f.name)) choice.files.push_back(f);
  if (index == nullptr) {
    choice.files.push_back(*single);
  } else {
    choice.files.push_back(*index);
    choice.index = index;
  }
  return choice;
}

void add_shards(Choice& choice, const Listing& listing, std::string_view index_text, const std::string& where) {
  const json::value document = parse_json(index_text, where);
  JsonFields fields(document, where);
  const JsonFields map = fields.fields("weight_map");
  std::set<std::string> names;
  for (const auto& [tensor, file] : map.object()) {
    if (!file.is_string())
      throw_bad_input("{}: {} is {}; it names a file", where, map.place(tensor), json_kind_name(file));
    names.emplace(std::string_view(file.get_string()));
  }
  for (const std::string& name : names) {
    const HubFile* f = name.ends_with(".safetensors") ? listing.find(name) : nullptr;
    if (f == nullptr)
      throw_bad_input("{}: names {}, which is no safetensors file of the repository", where, quoted_for_message(name));
    choice.files.push_back(*f);
  }
}

}  // namespace fathom::hub
