#include "data/build.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <unordered_set>

#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/utf8.h"
#include "base/xxh64.h"
#include "data/dataset.h"
#include "data/shard.h"
#include "tokenizer/tokenizer.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSecondSeed = 0x66617468;  // of the other 64 bits that tell documents apart
constexpr size_t kBatchBytes = size_t{1} << 24, kBatchDocuments = size_t{1} << 15;
constexpr uint64_t kMaxDocumentBytes = uint64_t{1} << 30;  // the pre-tokenizer needs nine times as much memory

struct Prepared {
  RawDocument raw;
  std::string storage;  // of the text, where it is not a part of the file
  std::string_view text;
  uint64_t hash = 0, second_hash = 0;
  enum class Fate : uint8_t { train, held_out, empty, invalid, duplicate } fate = Fate::train;
  bool repaired = false;
  std::vector<int32_t> ids;
};

struct HashPair {
  uint64_t first, second;
  bool operator==(const HashPair&) const = default;
};
struct FirstHash {
  size_t operator()(const HashPair& h) const noexcept { return h.first; }
};

// One side of one source: documents go in, shards come out.
class SideWriter {
 public:
  SideWriter(const fs::path& folder, std::string prefix, uint64_t tokenizer_hash, uint64_t shard_tokens)
      : folder_(folder), prefix_(std::move(prefix)), builder_(tokenizer_hash), shard_tokens_(shard_tokens) {}

  void add(const Prepared& document) {
    builder_.add(document.ids, document.text.size(), document.hash);
    if (builder_.n_tokens() >= shard_tokens_) close_shard();
  }
  ManifestSide finish() {
    if (builder_.n_documents() > 0) close_shard();
    return std::move(side_);
  }

 private:
  void close_shard() {
    const std::string name = fmt::format("{}-{:05}.tokens", prefix_, side_.shards.size());
    const ShardHeader h = builder_.write(folder_ / name);
    side_.shards.push_back({.file = name,
                            .documents = h.n_documents,
                            .tokens = h.n_tokens,
                            .bytes = h.n_bytes,
                            .file_size = fs::file_size(folder_ / name),
                            .checksum = h.content_checksum});
  }

  fs::path folder_;
  std::string prefix_;
  ShardBuilder builder_;
  uint64_t shard_tokens_;
  ManifestSide side_;
};

class Build {
 public:
  Build(const DataBuildOptions& options, const fs::path& folder, Progress& progress)
      : options_(options),
        folder_(folder),
        progress_(progress),
        tokenizer_(Tokenizer::from_json(options.tokenizer_json, options.tokenizer_config_json, "tokenizer")),
        tokenizer_hash_(xxh64(options.tokenizer_json)),
        pool_(options.threads > 0 ? options.threads : default_thread_count()) {}

  ManifestSource add_source(const DataInput& input, const std::vector<fs::path>& files, size_t number);
  const Tokenizer& tokenizer() const noexcept { return tokenizer_; }

 private:
  void add_file(const fs::path& path, ManifestSource& source, SideWriter& train, SideWriter& held_out);
  void prepare(const DocumentFile& file, Prepared& document) const;
  void repair(Prepared& document) const;
  void encode(const fs::path& path, Prepared& document) const;
  void judge(Prepared& document, ManifestSource& source);

  const DataBuildOptions& options_;
  fs::path folder_;
  Progress& progress_;
  Tokenizer tokenizer_;
  uint64_t tokenizer_hash_;
  ThreadPool pool_;
  std::unordered_set<HashPair, FirstHash> seen_;
};

void Build::repair(Prepared& d) const {
  if (options_.invalid_utf8 == InvalidUtf8::replace) {
    d.storage = replace_invalid_utf8(d.text);
    d.text = d.storage;
    d.repaired = true;
  } else {
    d.fate = Prepared::Fate::invalid;
  }
}

// Everything that needs no other document.
void Build::prepare(const DocumentFile& file, Prepared& d) const {
  d.text = file.text(d.raw, d.storage);
  if (find_invalid_utf8(d.text) != std::string_view::npos) repair(d);
  if (d.fate == Prepared::Fate::invalid) return;
  if (d.text.find_first_not_of(" \t\n\v\f\r") == std::string_view::npos) {
    d.fate = Prepared::Fate::empty;
    return;
  }
  d.hash = xxh64(d.text);
  d.second_hash = xxh64(d.text, kSecondSeed);
  if (uniform01(options_.seed, d.hash, d.second_hash) < options_.held_out) d.fate = Prepared::Fate::held_out;
}

// In order: counts, and drops what came before.
void Build::judge(Prepared& d, ManifestSource& source) {
  using Fate = Prepared::Fate;
  if (d.fate == Fate::empty) ++source.empty;
  if (d.fate == Fate::invalid) ++source.skipped_invalid;
  if (d.fate == Fate::empty || d.fate == Fate::invalid) return;
  if (!seen_.insert({d.hash, d.second_hash}).second) {
    d.fate = Fate::duplicate;
    ++source.duplicates;
  } else if (d.repaired) {
    ++source.repaired;
  }
}

void Build::encode(const fs::path& path, Prepared& d) const {
  if (d.fate != Prepared::Fate::train && d.fate != Prepared::Fate::held_out) return;
  if (d.text.size() > kMaxDocumentBytes)
    throw_bad_input(
        "{}: document {} has {} bytes; at most {} can be. Cut the text into documents with --document-separator",
        path.string(), d.raw.number, d.text.size(), kMaxDocumentBytes);
  const std::vector<int32_t> ids = tokenizer_.encode(d.text, {.add_special = false});
  d.ids.reserve(ids.size() + 2);
  if (tokenizer_.bos()) d.ids.push_back(*tokenizer_.bos());
  d.ids.insert(d.ids.end(), ids.begin(), ids.end());
  if (tokenizer_.eos()) d.ids.push_back(*tokenizer_.eos());
}

void Build::add_file(const fs::path& path, ManifestSource& source, SideWriter& train, SideWriter& held_out) {
  DocumentFile file(path, options_.format);
  std::error_code error;
  const auto time = fs::last_write_time(path, error);
  source.files.push_back(
      {.path = replace_invalid_utf8(path.string()), .size = file.bytes().size(), .hash = xxh64(file.bytes())});
  for (bool more = true; more;) {
    std::vector<Prepared> batch;
    size_t bytes = 0;
    for (RawDocument raw; bytes < kBatchBytes && batch.size() < kBatchDocuments && (more = file.next(raw));) {
      batch.emplace_back();
      batch.back().raw = raw;
      bytes += raw.bytes.size();
    }
    for_each_index(pool_, batch.size(), [&](size_t i) { prepare(file, batch[i]); });
    for (Prepared& d : batch) {
      judge(d, source);
      if (d.fate == Prepared::Fate::invalid && options_.invalid_utf8 == InvalidUtf8::refuse)
        throw_bad_input(
            "{}: document {} is not valid UTF-8; convert the file, or choose --invalid-utf8 replace or skip",
            path.string(), d.raw.number);
    }
    for_each_index(pool_, batch.size(), [&](size_t i) { encode(path, batch[i]); });
    for (const Prepared& d : batch) {
      if (d.fate == Prepared::Fate::train) train.add(d);
      if (d.fate == Prepared::Fate::held_out) held_out.add(d);
    }
    progress_.add(bytes);
  }
  if (fs::file_size(path, error) != file.bytes().size() || fs::last_write_time(path, error) != time)
    throw_bad_input("{}: changed while it was read; start again when nothing writes to it", path.string());
}

ManifestSource Build::add_source(const DataInput& input, const std::vector<fs::path>& files, size_t number) {
  ManifestSource source;
  source.name = replace_invalid_utf8(input.name);
  source.path = replace_invalid_utf8(input.path.string());
  source.weight = input.weight;
  const auto side = [&](Split split) {
    const char* name = split == Split::train ? "train" : "held_out";
    return SideWriter(folder_, fmt::format("{:03}-{}", number, name), tokenizer_hash_, options_.shard_tokens);
  };
  SideWriter train = side(Split::train), held_out = side(Split::held_out);
  for (const fs::path& path : files) add_file(path, source, train, held_out);
  source.train = train.finish();
  source.held_out = held_out.finish();
  return source;
}

// Names for the sources, all different.
std::vector<DataInput> named(std::vector<DataInput> inputs) {
  std::unordered_set<std::string> taken;
  for (DataInput& input : inputs) {
    std::string base = input.name;
    if (base.empty())
      base = input.path.has_filename() ? input.path.stem().string() : input.path.parent_path().filename().string();
    if (base.empty()) base = "source";
    input.name = base;
    for (int i = 2; !taken.insert(input.name).second; ++i) input.name = fmt::format("{}-{}", base, i);
  }
  return inputs;
}

bool is_token_data(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / kManifestName, error) || fs::is_empty(folder, error);
}

void check_options(const DataBuildOptions& o) {
  if (o.inputs.empty()) throw_bad_input("no input was given; --input FILE or FOLDER says what to read");
  for (const DataInput& input : o.inputs)
    if (!(input.weight > 0) || !std::isfinite(input.weight))
      throw_bad_input("{}: the weight {} is not a number above 0", input.path.string(), input.weight);
  if (!(o.held_out >= 0 && o.held_out < 1))
    throw_bad_input("a held-out fraction of {} cannot be; it is 0 or more and below 1", o.held_out);
  if (find_invalid_utf8(o.format.separator) != std::string::npos ||
      find_invalid_utf8(o.format.text_field) != std::string::npos)
    throw_bad_input("the document separator and the text field are valid UTF-8; {} is not",
                    quoted_for_message(o.format.separator + o.format.text_field));
  if (o.shard_tokens < 1) throw_bad_input("a shard has at least one token");
  std::error_code error;
  if (!fs::exists(o.output, error)) return;
  if (!fs::is_directory(o.output, error) || !is_token_data(o.output))
    throw_bad_input("{}: exists and is not a folder of token data; choose another place for -o", o.output.string());
  if (!o.force && !fs::is_empty(o.output, error))
    throw_bad_input("{}: holds token data already; choose another place for -o, or replace it with --force",
                    o.output.string());
}

// A new, empty working folder; what an interrupted build left there is removed.
void make_working_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder, error)) {
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      const std::string name = entry.path().filename().string();
      const bool ours = name.find(".tokens") != std::string::npos || name.rfind("tokenizer", 0) == 0 ||
                        name.rfind(kManifestName, 0) == 0;
      if (!ours) throw_bad_input("{}: was not left by `fathom data build`; move it away", entry.path().string());
    }
    fs::remove_all(folder, error);
  }
  if (!error) fs::create_directories(folder, error);
  if (error) throw_bad_input("{}: cannot be made: {}", folder.string(), error.message());
}

void put_in_place(const fs::path& made, const fs::path& output) {
  std::error_code error;
  fs::path old;
  if (fs::exists(output, error)) {
    old = output.string() + ".old";
    fs::remove_all(old, error);
    fs::rename(output, old, error);
    if (error) throw_bad_input("{}: cannot be replaced: {}", output.string(), error.message());
  }
  fs::rename(made, output, error);
  if (error) throw_bad_input("{}: cannot be renamed to {}: {}", made.string(), output.string(), error.message());
  if (!old.empty()) fs::remove_all(old, error);
}

fs::path without_trailing_slash(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

}  // namespace

Manifest build_data(const DataBuildOptions& options) {
  check_options(options);
  const std::vector<DataInput> inputs = named(options.inputs);
  std::vector<std::vector<fs::path>> files;
  uint64_t total = 0;
  for (const DataInput& input : inputs) {
    files.push_back(input_files(input.path));
    std::error_code error;
    for (const fs::path& path : files.back()) total += fs::file_size(path, error);
  }
  const fs::path output = without_trailing_slash(options.output), working = output.string() + ".partial";
  make_working_folder(working);

  Progress progress("encoding", total, "B", options.quiet);
  Build build(options, working, progress);
  static constexpr const char* kPolicies[] = {"replace", "skip", "refuse"};
  Manifest m{.tokenizer_hash = xxh64(options.tokenizer_json),
             .vocab_size = build.tokenizer().n_tokens(),
             .seed = options.seed,
             .held_out_fraction = options.held_out,
             .document_separator = options.format.separator,
             .text_field = options.format.text_field,
             .invalid_utf8 = kPolicies[static_cast<size_t>(options.invalid_utf8)],
             .sources = {}};
  uint64_t n_documents = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    m.sources.push_back(build.add_source(inputs[i], files[i], i));
    n_documents += m.sources[i].train.documents() + m.sources[i].held_out.documents();
  }
  if (n_documents == 0) throw_bad_input("{}: no document is left (all were empty)", inputs[0].path.string());
  const auto write = [&](const char* name, const std::string& text) {
    FileWriter out(working / name);
    out.write(text);
    out.commit();
  };
  write("tokenizer.json", options.tokenizer_json);
  if (!options.tokenizer_config_json.empty()) write("tokenizer_config.json", options.tokenizer_config_json);
  write(kManifestName, write_manifest(m));
  put_in_place(working, output);
  return m;
}

std::vector<ChangedFile> changed_sources(const Manifest& manifest) {
  std::vector<ChangedFile> out;
  for (const ManifestSource& source : manifest.sources)
    for (const ManifestFile& file : source.files) {
      std::error_code error;
      if (!fs::exists(file.path, error)) {
        out.push_back({file.path, "missing"});
        continue;
      }
      const MappedFile now(file.path);
      const uint64_t hash = xxh64(now.bytes());
      if (now.bytes().size() != file.size || hash != file.hash)
        out.push_back({file.path, fmt::format("changed: {} bytes with hash {}, was {} with {}", now.bytes().size(),
                                              hash_text(hash), file.size, hash_text(file.hash))});
    }
  return out;
}

}  // namespace fathom
