// Random JSON schemas, and random texts that the grammars made of them allow, as JSON lines for an independent
// validator (validate.mjs):
//
//     schema_samples SCHEMAS [SEED]  ->  {"schema": {...}, "text": "..."}
//
// Each text is written by a random vocabulary, uniformly among the allowed tokens but with a preference for those that
// bring it to its end; texts that have none after kLongest tokens are left out, and counted on standard error.
#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json/json.h"
#include "base/random.h"
#include "base/text/utf8.h"
#include "grammar/matcher.h"

namespace fathom {
namespace {

constexpr int kLongest = 600, kTextsOfSchema = 3;
constexpr int32_t kEnd = 256;

class Random {
 public:
  explicit Random(uint64_t seed) : seed_(seed) {}
  uint64_t below(uint64_t n) { return philox(seed_, 1, at_++)[0] % n; }
  bool one_in(uint64_t n) { return below(n) == 0; }
  template <class T>
  const T& of(const std::vector<T>& list) {
    return list[below(list.size())];
  }

 private:
  uint64_t seed_, at_ = 0;
};

class SchemaMaker {
 public:
  explicit SchemaMaker(uint64_t seed) : random_(seed) {}

  json::object make() {
    n_defs_ = random_.below(3);
    json::object root = schema(0);
    json::object defs;
    for (uint64_t i = 0; i < n_defs_; ++i) defs[fmt::format("d{}", i)] = random_.one_in(2) ? object(1) : array(1);
    if (n_defs_ > 0) root[random_.one_in(2) ? "$defs" : "definitions"] = std::move(defs);
    // One of the two holds the definitions; references name it.
    defs_key_ = root.contains("$defs") ? "$defs" : "definitions";
    return rewrite(std::move(root)).get_object();
  }

 private:
  json::value rewrite(json::value v) const {  // "#/DEFS/" becomes the key that was chosen
    if (json::object* o = v.if_object()) {
      for (auto& m : *o) m.value() = rewrite(std::move(m.value()));
    } else if (json::array* a = v.if_array()) {
      for (json::value& item : *a) item = rewrite(std::move(item));
    } else if (json::string* s = v.if_string(); s != nullptr && s->starts_with("#/DEFS/")) {
      return json::string("#/" + defs_key_ + "/" + std::string(s->subview(7)));
    }
    return v;
  }

  json::object schema(int depth) {
    const uint64_t kind = random_.below(depth > 3 ? 6 : 14);
    switch (kind) {
      case 0:
        return string();
      case 1:
        return number();
      case 2:
        return {{"type", "boolean"}};
      case 3:
        return values();
      case 4:
        return {{"type", json::array{"integer", "null"}}, {"title", "t"}};
      case 5:
        return string();
      case 6:
        return array(depth);
      case 7:
        return array(depth);
      case 8:
        return choice(depth);
      case 9:
        return all(depth);
      case 10:
        return n_defs_ > 0 ? reference() : object(depth);
      case 11:
        return number();
      default:
        return object(depth);
    }
  }

  json::object reference() {
    json::object out{{"$ref", fmt::format("#/DEFS/d{}", random_.below(n_defs_))}};
    if (random_.one_in(3)) out["description"] = "a reference";
    return out;
  }

  json::object string() {
    static const std::vector<std::string> patterns = {
        "^[a-z]{2,5}$", "[0-9]+",    "^(yes|no)?$", "\\d{3}-\\d{4}", "^\\S+\\s\\S+$",           "^[^\"\\\\]*$",
        "x$|^y",        "^\\p{L}+$", "^.\\n.$",     "(^a|b)(c$|d)",  "^[\\u4e00-\\u9fff\\w]*$", "\\W"};
    static const std::vector<std::string> formats = {"date",     "date-time", "time", "duration", "email",
                                                     "hostname", "ipv4",      "ipv6", "uri",      "uuid"};
    json::object out{{"type", "string"}};
    const uint64_t kind = random_.below(4);
    if (kind == 1) out["pattern"] = random_.of(patterns);
    if (kind == 2) out["format"] = random_.of(formats);
    if (random_.one_in(3)) {
      const auto min = random_.below(4);
      if (random_.one_in(2)) out["minLength"] = min;
      if (random_.one_in(2)) out["maxLength"] = min + random_.below(40);
    }
    return out;
  }

  json::value bound(bool whole) {
    const auto n = static_cast<int64_t>(random_.below(2001)) - 1000;
    if (whole || random_.one_in(2)) return random_.one_in(4) ? n * 1'000'003 : random_.one_in(2) ? n % 12 : n;
    return static_cast<double>(n) / (random_.one_in(2) ? 8 : 1000);
  }

  json::object number() {
    const bool whole = random_.one_in(2);
    json::object out{{"type", whole ? "integer" : "number"}};
    if (random_.one_in(3)) out[random_.one_in(3) ? "exclusiveMinimum" : "minimum"] = bound(whole);
    if (random_.one_in(3)) out[random_.one_in(3) ? "exclusiveMaximum" : "maximum"] = bound(whole);
    if (random_.one_in(6)) out["multipleOf"] = 1 + random_.below(random_.one_in(2) ? 10 : 200);
    return out;
  }

  json::object values() {
    static const std::vector<json::value> all = {"red",
                                                 "gr\xC3\xBCn",
                                                 "a\"b\\c\n",
                                                 "",
                                                 1,
                                                 -7,
                                                 2.5,
                                                 1e21,
                                                 true,
                                                 nullptr,
                                                 json::array{1, "x"},
                                                 json::object{{"k", json::array{}}, {"l", nullptr}}};
    if (random_.one_in(3)) return {{"const", random_.of(all)}};
    json::array list;
    for (uint64_t n = 1 + random_.below(6); n > 0; --n)
      if (const json::value& v = random_.of(all); std::find(list.begin(), list.end(), v) == list.end())
        list.push_back(v);
    return {{"enum", std::move(list)}};
  }

  json::object array(int depth) {
    json::object out{{"type", "array"}};
    if (!random_.one_in(5)) out["items"] = schema(depth + 1);
    if (random_.one_in(4)) {
      json::array prefix;
      for (uint64_t n = 1 + random_.below(3); n > 0; --n) prefix.push_back(schema(depth + 1));
      out["prefixItems"] = std::move(prefix);
      if (random_.one_in(3)) out["items"] = false;
    }
    const uint64_t min = random_.below(4);
    if (random_.one_in(3)) out["minItems"] = min;
    if (random_.one_in(3)) out["maxItems"] = min + random_.below(4);
    return out;
  }

  json::object object(int depth) {
    static const std::vector<std::string> names = {"name",     "na",      "a", "b",     "c d",
                                                   "\xC3\xA4", "q\"uote", "",  "value", "x1"};
    json::object properties;
    json::array required;
    for (uint64_t n = random_.below(5); n > 0; --n) {
      const std::string& name = random_.of(names);
      if (properties.contains(name)) continue;
      properties[name] = schema(depth + 1);
      if (random_.one_in(2)) required.emplace_back(name);
    }
    json::object out{{"type", "object"}, {"properties", std::move(properties)}};
    if (random_.one_in(8)) required.emplace_back("extra");
    if (!required.empty()) out["required"] = std::move(required);
    if (random_.one_in(2))
      out["additionalProperties"] = random_.one_in(2)   ? json::value(false)
                                    : random_.one_in(2) ? json::value(true)
                                                        : schema(depth + 1);
    return out;
  }

  json::object choice(int depth) {
    json::array branches;
    if (random_.one_in(2)) {  // told apart by a constant
      for (int i = 0; i < 3; ++i)
        branches.push_back({{"type", "object"},
                            {"properties", {{"kind", {{"const", fmt::format("k{}", i)}}}, {"v", schema(depth + 1)}}},
                            {"required", {"kind"}}});
      return {{random_.one_in(2) ? "oneOf" : "anyOf", std::move(branches)}};
    }
    for (uint64_t n = 1 + random_.below(3); n > 0; --n) branches.push_back(schema(depth + 1));
    json::object out{{random_.one_in(4) ? "oneOf" : "anyOf", std::move(branches)}};
    if (random_.one_in(4)) out["maxLength"] = 5;
    return out;
  }

  json::object all(int depth) {
    json::array parts;
    for (uint64_t n = 1 + random_.below(2); n > 0; --n)
      parts.push_back(random_.one_in(2) ? object(depth + 1) : number());
    json::object out{{"allOf", std::move(parts)}};
    if (random_.one_in(3)) out["minimum"] = -5;
    return out;
  }

  Random random_;
  uint64_t n_defs_ = 0;
  std::string defs_key_;
};

// Bytes, and pieces of JSON text cut anywhere.
std::shared_ptr<const TokenTrie> random_vocabulary(Random& random) {
  static const std::string text =
      "{\"name\": \"Gr\xC3\xBC\xC3\x9F"
      "e \xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x98\x80\", \"value\": [1, 2.5, -3e10, true, null, false], "
      "\"a\":{\"b\":\"\\n\\u00e9\\\"\"},\"kind\":\"k1\"}";
  std::vector<std::string> tokens(257);
  for (size_t b = 0; b < 256; ++b) tokens[b] = static_cast<char>(b);
  for (int n = 0; n < 300; ++n) tokens.push_back(text.substr(random.below(text.size()), 1 + random.below(6)));
  const std::vector<int32_t> ends = {kEnd};
  return std::make_shared<const TokenTrie>(tokens, ends);
}

// Nothing when the text does not come to its end.
std::optional<std::string> sample(const std::shared_ptr<const Grammar>& grammar,
                                  const std::shared_ptr<const TokenTrie>& vocabulary, Random& random) {
  Matcher matcher(grammar, vocabulary);
  std::string out;
  for (int i = 0; i < kLongest; ++i) {
    const TokenMask& mask = matcher.allowed();
    if (matcher.is_dead()) throw_bad_input("dead: {}", matcher.why_dead());
    std::vector<int32_t> ways, closing;
    for (int32_t id = 0; id < vocabulary->n_ids(); ++id) {
      if (!mask.allows(id)) continue;
      ways.push_back(id);
      if (id == kEnd || id == '"' || id == ']' || id == '}') closing.push_back(id);
    }
    const bool close = !closing.empty() && (random.one_in(4) || i > kLongest / 4);
    const int32_t id = random.of(close ? closing : ways);
    if (!matcher.accept(id)) throw_bad_input("an allowed token was not accepted");
    if (id == kEnd) return out;
    out += vocabulary->bytes(id);
  }
  return std::nullopt;
}

void run(uint64_t n, uint64_t seed) {
  uint64_t refused = 0, unfinished = 0;
  for (uint64_t i = 0, done = 0; done < n; ++i) {
    const std::string schema = json::serialize(SchemaMaker(seed * 1'000'000 + i).make());
    std::shared_ptr<const Grammar> grammar;
    try {
      grammar = Grammar::from_json_schema(schema);
    } catch (const Error& e) {
      if (++refused <= 20) fmt::print(stderr, "refused: {}\n", e.what());
      continue;
    }
    ++done;
    Random random(seed * 1'000'000 + i + 1);
    for (int k = 0; k < kTextsOfSchema; ++k) {
      const auto text = sample(grammar, random_vocabulary(random), random);
      unfinished += !text;
      if (!text) continue;
      if (find_invalid_utf8(*text) != std::string_view::npos)
        throw_bad_input("a text that is not UTF-8, of {}", schema);
      fmt::print("{{\"schema\":{},\"text\":{}}}\n", schema, json::serialize(json::string(*text)));
    }
  }
  fmt::print(stderr, "{} schemas; {} others refused; {} texts without an end left out\n", n, refused, unfinished);
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    fmt::print(stderr, "usage: schema_samples SCHEMAS [SEED]\n");
    return 2;
  }
  try {
    fathom::run(std::strtoull(argv[1], nullptr, 10), argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 1);
  } catch (const fathom::Error& e) {
    fmt::print(stderr, "schema_samples: {}\n", e.what());
    return 1;
  }
}
