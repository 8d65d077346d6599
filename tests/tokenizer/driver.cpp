// The door that tools/tokenizer/compare.py uses: reads strings from a file, writes what fathom makes of them.
//
//     tokenizer_driver json  TOKENIZER.json [CONFIG.json]  -- < strings > results
//     tokenizer_driver vocab VOCABULARY.json               -- < strings > results
//     tokenizer_driver write-json VOCABULARY.json          > tokenizer.json
//     tokenizer_driver write-config VOCABULARY.json        > tokenizer_config.json
//     tokenizer_driver write-vocab TOKENIZER.json [CONFIG.json]  > VOCABULARY.json
//
// strings: for each, its length (u32, little endian) and its bytes. results: for each string and parse_special false
// and true, the number of ids (u32) and the ids (i32), then the length (u32) and bytes of decode(ids) with U+FFFD for
// what is no UTF-8. VOCABULARY.json: the fields of VocabularyData. Nothing is added in front or behind (add_special =
// false).
#include <cstdio>
#include <cstring>
#include <iostream>
#include <iterator>

#include "base/error.h"
#include "base/file/file.h"
#include "base/json/json.h"
#include "tokenizer/tokenizer.h"

namespace {
using namespace fathom;

VocabularyData read_vocabulary(const std::string& path) {
  const json::value document = parse_json(read_file(path), path);
  const json::object& o = document.as_object();
  VocabularyData v;
  for (const json::value& token : o.at("tokens").as_array())
    v.tokens.emplace_back(token.as_string().c_str(), token.as_string().size());
  for (const json::value& type : o.at("token_types").as_array())
    v.token_types.push_back(static_cast<int32_t>(type.as_int64()));
  for (const json::value& merge : o.at("merges").as_array()) v.merges.emplace_back(merge.as_string().c_str());
  v.pre = o.at("pre").as_string().c_str();
  const auto id = [&](const char* key) {
    const json::value* value = o.if_contains(key);
    return value != nullptr && value->is_int64() ? std::optional(static_cast<int32_t>(value->as_int64()))
                                                 : std::nullopt;
  };
  v.bos = id("bos");
  v.eos = id("eos");
  v.pad = id("pad");
  v.unk = id("unk");
  v.add_bos = o.at("add_bos").as_bool();
  v.add_eos = o.at("add_eos").as_bool();
  return v;
}

json::value write_vocabulary(const VocabularyData& v) {
  const auto id = [](std::optional<int32_t> i) { return i ? json::value(*i) : json::value(nullptr); };
  return {{"tokens", json::array(v.tokens.begin(), v.tokens.end())},
          {"token_types", json::array(v.token_types.begin(), v.token_types.end())},
          {"merges", json::array(v.merges.begin(), v.merges.end())},
          {"pre", v.pre},
          {"bos", id(v.bos)},
          {"eos", id(v.eos)},
          {"pad", id(v.pad)},
          {"unk", id(v.unk)},
          {"add_bos", v.add_bos},
          {"add_eos", v.add_eos}};
}

void put(uint32_t n) { std::fwrite(&n, sizeof n, 1, stdout); }

void answer(const Tokenizer& tokenizer, const std::string& strings) {
  for (size_t at = 0; at + 4 <= strings.size();) {
    uint32_t n = 0;
    std::memcpy(&n, strings.data() + at, 4);
    const std::string text = strings.substr(at + 4, n);
    at += 4 + size_t{n};
    for (const bool parse_special : {false, true}) {
      const auto ids = tokenizer.encode(text, {.add_special = false, .parse_special = parse_special});
      const std::string back = tokenizer.decode(ids, {.skip_special = false, .replace_invalid = true});
      put(static_cast<uint32_t>(ids.size()));
      std::fwrite(ids.data(), sizeof(int32_t), ids.size(), stdout);
      put(static_cast<uint32_t>(back.size()));
      std::fwrite(back.data(), 1, back.size(), stdout);
    }
  }
}

int run(const std::vector<std::string>& args) {
  if (args.size() < 2)
    throw_bad_input("tokenizer_driver: see the top of tests/tokenizer/driver.cpp for its arguments.");
  const bool from_vocabulary = args[0] == "vocab" || args[0] == "write-json" || args[0] == "write-config";
  const Tokenizer tokenizer =
      from_vocabulary
          ? Tokenizer::from_vocabulary(read_vocabulary(args[1]), args[1])
          : Tokenizer::from_json(read_file(args[1]), args.size() > 2 ? read_file(args[2]) : std::string(), args[1]);
  if (args[0] == "write-json") {
    std::cout << to_tokenizer_json(tokenizer);
  } else if (args[0] == "write-config") {
    std::cout << to_tokenizer_config_json(tokenizer);
  } else if (args[0] == "write-vocab") {
    std::cout << json::serialize(write_vocabulary(to_vocabulary(tokenizer)));
  } else {
    answer(tokenizer, std::string(std::istreambuf_iterator<char>(std::cin), {}));
  }
  return 0;
}
}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}
