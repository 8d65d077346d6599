// Importance files of llama.cpp ("imatrix"): mean squares of the inputs of weight matrices, under GGUF names.
//
// GGUF form (since 2025): general.type "imatrix", imatrix.datasets, imatrix.chunk_count and imatrix.chunk_size; for
// each tensor NAME the float32 tensors "NAME.in_sum2" and "NAME.counts": sums of squares, and over how many rows of
// inputs. A stack of matrices (experts, the heads of attn_k_b) has its matrices' columns one after the other, and one
// count for all or one for each.
//
// Old form, usually named .dat, little-endian, int32 throughout:
//     n_entries  x { length, name, calls, n, float[n]: mean square times calls }
//     calls of all; length and name of the text                                          (both may be absent)
// It has no counts of rows, and ones where an expert was never chosen.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/gguf.h"

namespace fathom {

struct ImatrixEntry {
  std::string name;                 // "blk.3.ffn_up_exps.weight"
  std::vector<float> mean_squares;  // finite, >= 0; of all matrices of a stack
  std::vector<double> rows;         // one number, or one for each matrix; 0: never seen, its mean squares say nothing
};

struct Imatrix {
  std::vector<ImatrixEntry> entries;  // each name once
  bool counted = true;                // the old form has no counts: rows are then those of `chunks` whole chunks
  int64_t chunks = 0, chunk_size = 0;
  std::vector<std::string> datasets;
};

// The file starts as one of the two forms does. The old one has no magic: its first entry must be a plausible one.
bool is_imatrix(std::span<const std::byte> file) noexcept;
bool is_imatrix(const GgufMetadata& metadata);

// Either form. bad_input naming `where` and the entry for truncated files, entries of unequal parts, doubled names, and
// numbers that are negative or not finite.
Imatrix parse_imatrix(std::span<const std::byte> file, const std::string& where);

// The GGUF form, written whole or not at all.
void write_imatrix(const Imatrix& imatrix, const std::filesystem::path& path);

}  // namespace fathom
