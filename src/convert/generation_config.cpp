#include "convert/generation_config.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/json/json.h"
#include "base/text/utf8.h"

namespace fathom {
namespace {

constexpr const char* kWhole = "fathom.generation_config";

struct Sampling {
  const char* json;
  const char* gguf;
  bool whole_number = false;
};
constexpr std::array kSampling = std::to_array<Sampling>({
    {"temperature", "general.sampling.temp"},
    {"top_k", "general.sampling.top_k", true},
    {"top_p", "general.sampling.top_p"},
    {"min_p", "general.sampling.min_p"},
    {"repetition_penalty", "general.sampling.penalty_repeat"},
});

json::object ids_of(const ModelConfig& c) {
  json::object o;
  if (c.bos_token_id) o["bos_token_id"] = *c.bos_token_id;
  if (c.eos_token_ids.size() == 1) o["eos_token_id"] = c.eos_token_ids[0];
  if (c.eos_token_ids.size() > 1) o["eos_token_id"] = json::array(c.eos_token_ids.begin(), c.eos_token_ids.end());
  if (c.pad_token_id) o["pad_token_id"] = *c.pad_token_id;
  return o;
}

// The number that the GGUF has for a key; nothing when it is none, or is what `known` says already.
json::value changed_number(const GgufMetadata& m, const Sampling& key, const json::value* known) {
  const GgufValue* stored = m.find(key.gguf);
  if (stored == nullptr || stored->is_array) return nullptr;
  if (key.whole_number) {
    const auto n = m.get_int(key.gguf);
    return known != nullptr && *known == json::value(*n) ? json::value(nullptr) : json::value(*n);
  }
  const auto x = static_cast<float>(*m.get_float(key.gguf));
  if (!std::isfinite(x)) return nullptr;  // JSON has no such number, and no sampler a use for it
  if (known != nullptr && known->is_number() && known->to_number<float>() == x) return nullptr;
  return std::stod(fmt::format("{}", x));  // the shortest decimal: 0.7, not 0.699999988
}

}  // namespace

void generation_config_to_gguf(const std::string& text, const std::string& where, GgufMetadata& metadata) {
  const json::value document = parse_json(text, where);
  metadata.set_string(kWhole, without_byte_order_mark(text));
  if (!document.is_object()) return;
  for (const Sampling& key : kSampling) {
    const json::value* value = document.get_object().if_contains(key.json);
    if (value == nullptr || !value->is_number()) continue;
    if (!key.whole_number)
      metadata.set_f32(key.gguf, value->to_number<float>());
    else if (value->is_int64() && value->get_int64() >= INT32_MIN && value->get_int64() <= INT32_MAX)
      metadata.set_i32(key.gguf, static_cast<int32_t>(value->get_int64()));
  }
}

std::string generation_config_from_gguf(const GgufMetadata& m, const ModelConfig& config) {
  const auto whole = m.get_string(kWhole);
  json::object o = ids_of(config);
  if (whole)
    if (const json::value document = parse_json(*whole, m.where() + ": " + kWhole); document.is_object())
      o = document.get_object();
  bool is_changed = false;
  for (const Sampling& key : kSampling) {
    const json::value number = changed_number(m, key, o.if_contains(key.json));
    if (number.is_null()) continue;
    o[key.json] = number;
    is_changed = true;
  }
  if (whole && !is_changed) return *whole;
  if (!is_changed) return generation_config_json(config);
  if (!whole && o.contains("temperature")) o["do_sample"] = o["temperature"].to_number<double>() > 0;
  return to_pretty_json(o);
}

bool is_sampling_key(std::string_view gguf_key) noexcept {
  return std::any_of(kSampling.begin(), kSampling.end(), [&](const Sampling& key) { return gguf_key == key.gguf; });
}

std::string generation_config_json(const ModelConfig& c) {
  json::object o{{"_from_model_config", true}};
  for (const auto& [key, value] : ids_of(c)) o[key] = value;
  return to_pretty_json(o);
}

}  // namespace fathom
