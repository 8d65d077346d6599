// A model written to disk: a GGUF file or a Hugging Face folder, whole or not at all.
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "checkpoint/gguf.h"
#include "convert/write.h"

namespace fathom {

// Whether the name asks for a GGUF file (it ends in .gguf, or it is a FIFO or a device, which is written through) or
// else for a folder.
bool names_gguf(const std::filesystem::path& out);

// "folder/" is the folder.
std::filesystem::path without_trailing_slash(const std::filesystem::path& path);

// bad_input when there is something at `out` already (an empty folder, a FIFO or a device is fine), or the folder it
// lies in does not exist or may not be written.
void check_output_free(const std::filesystem::path& out);

// Bytes of disk: the weights, and beside them the vocabulary and other texts, headers (1 KiB a tensor), and what the
// file system needs for itself (a hundredth of the weights, 64 MiB at most).
struct RoomNeeded {
  uint64_t weights = 0, beside = 0;
};
RoomNeeded room_needed(uint64_t weight_bytes, size_t n_tensors, uint64_t text_bytes);
// resource Error with the numbers when so many bytes are too few.
void check_room(const std::filesystem::path& out, const RoomNeeded& need, uint64_t available);

struct OutputOptions {
  WrittenType type;
  uint64_t max_shard_bytes = 0;  // 0: GGUF in one file, a folder in shards of 5 GB as transformers writes
  Encoding encoding = {};
};

// Writes the tensors of `source` and, for a folder, config.json, then `files` (name -> text). Refuses with the numbers
// when the disk has too little room. Nothing stays behind when it fails.
void write_folder(ThreadPool& pool, const ModelRows& source, const std::filesystem::path& out,
                  const OutputOptions& options, const std::map<std::string, std::string>& files,
                  const ProgressFn& progress);

// `text`: general.*, tokenizer.* and whatever else goes beside the architecture's keys.
void write_gguf(ThreadPool& pool, const ModelRows& source, const std::filesystem::path& out,
                const OutputOptions& options, const GgufMetadata& text, const ProgressFn& progress);

}  // namespace fathom
