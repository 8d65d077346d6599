// Which files of a repository make a model that fathom runs. Weights are safetensors or GGUF; Python pickles, scripts
// and everything else stay where they are.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "hub/listing.h"

namespace fathom::hub {

// One GGUF model: a file, or all parts of a split one (NAME-00001-of-00003.gguf).
struct GgufModel {
  std::string stem = {};                // its path without the number of a part and without ".gguf"
  std::vector<std::string> files = {};  // in order
  bool whole = true;                    // every part is there
};

// Of any list of names, in their order.
std::vector<GgufModel> gguf_models(const std::vector<std::string>& names);

// Whether a quantisation's name in any case ends the stem, or the folder that it is in: Q4_K_M of NAME-Q4_K_M,
// NAME.q4_k_m and Q4_K_M/NAME. Q4_K is not the end of IQ4_K, nor is K_M of Q4_K_M.
bool has_tag(std::string_view stem, std::string_view tag) noexcept;

// The name of its quantisation, as far as its file name has one: "Q4_K_M", "F16"; else empty.
std::string tag_of(std::string_view stem);

struct Asked {
  std::string repository = {};      // for messages: OWNER/NAME
  std::string file = {}, tag = {};  // at most one of them is not empty
};

struct Choice {
  std::vector<HubFile> files = {};
  // The index of sharded safetensors: the shards that it names are chosen once it is here (add_shards).
  const HubFile* index = nullptr;
};

// What was asked for, else safetensors where there are any, else the one GGUF model. bad_input, saying what is there
// instead, when nothing fits or several do; unsupported for adapters and repositories of pickles alone.
Choice choose_files(const Listing& listing, const Asked& asked);

// The files that the index (its text) names, out of the listing.
void add_shards(Choice& choice, const Listing& listing, std::string_view index_text, const std::string& where);

}  // namespace fathom::hub
