#include "data/build.h"
#include "data/text/source_weight.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/file/file.h"
#include "base/progress.h"
#include "base/text/utf8.h"
#include "base/xxh64.h"
#include "data/dataset.h"
#include "data/hold_out.h"
#include "data/source_writer.h"
#include "data/token_folder.h"
#include "tokenizer/tokenizer.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBatchBytes = size_t{1} << 24, kBatchDocuments = size_t{1} << 15;
constexpr uint64_t kNamedBadRecords = 10;  // of each source

struct Prepared {
  RawDocument raw;
  std::string storage;  // of the text, where it is not the document as it stands
  std::string_view text;
  uint64_t hash = 0, second_hash = 0;
  enum class Fate : uint8_t { train, held_out, empty, invalid, duplicate, bad_record } fate = Fate::train;
  bool repaired = false;
  std::string why;  // it is a bad record
  EncodedDocument encoded;
};

struct HashPair {
  uint64_t first, second;
  bool operator==(const HashPair&) const = default;
};
struct FirstHash {
  size_t operator()(const HashPair& h) const noexcept { return h.first; }
};

class Build {
 public:
  Build(const DataBuildOptions& options, const fs::path& folder, Progress& progress)
      : options_(options),
        folder_(folder),
        progress_(progress),
        tokenizer_(Tokenizer::from_json(options.tokenizer_json, options.tokenizer_config_json, "tokenizer")),
        tokenizer_hash_(xxh64(options.tokenizer_json)),
        pool_(options.threads) {}

  void add_source(const DataInput& input, const std::vector<InputFile>& files,
                  const std::vector<std::string>& not_text);
  // What was made of the inputs. Where no document was held out, pieces of the longest of every source are.
  std::vector<ManifestSource> finish();
  const Tokenizer& tokenizer() const noexcept { return tokenizer_; }

 private:
  void add_file(const InputFile& input, SourceWriter& out);
  void prepare(const DocumentFile& file, Prepared& document) const;
  void repair(Prepared& document) const;
  EncodedDocument encode(std::string_view text) const;
  void judge(const DocumentFile& file, Prepared& document, ManifestSource& source);
  bool holds_something_out() const;
  void hold_out_pieces_of(SourceWriter& out) const;
  void notice(const std::string& sentence) const {
    if (options_.notice) options_.notice(sentence);
  }

  const DataBuildOptions& options_;
  fs::path folder_;
  Progress& progress_;
  Tokenizer tokenizer_;
  uint64_t tokenizer_hash_;
  ThreadPool pool_;
  std::unordered_set<HashPair, FirstHash> seen_;
  std::vector<SourceWriter> sources_;
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
  try {
    d.text = file.text(d.raw, d.storage);
  } catch (const Error& e) {
    if (options_.format.bad_lines == BadLines::refuse) throw;
    d.fate = Prepared::Fate::bad_record;
    d.why = e.what();
    return;
  }
  if (find_invalid_utf8(d.text) != std::string_view::npos) repair(d);
  if (d.fate == Prepared::Fate::invalid) return;
  if (d.text.find_first_not_of(" \t\n\v\f\r") == std::string_view::npos) {
    d.fate = Prepared::Fate::empty;
    return;
  }
  d.hash = xxh64(d.text);
  d.second_hash = second_text_hash(d.text);
  if (held_out_number(options_.seed, d.hash, d.second_hash) < options_.held_out) d.fate = Prepared::Fate::held_out;
}

// In order: counts, and drops what came before.
void Build::judge(const DocumentFile& file, Prepared& d, ManifestSource& source) {
  using Fate = Prepared::Fate;
  if (d.fate == Fate::invalid && options_.invalid_utf8 == InvalidUtf8::refuse)
    throw_bad_input("{} is not valid UTF-8; convert the file, or choose --invalid-utf8 replace or skip",
                    file.place(d.raw));
  if (d.fate == Fate::bad_record && source.bad_records < kNamedBadRecords) notice("left out " + d.why);
  if (d.fate == Fate::bad_record) ++source.bad_records;
  if (d.fate == Fate::empty) ++source.empty;
  if (d.fate == Fate::invalid) ++source.skipped_invalid;
  if (d.fate != Fate::train && d.fate != Fate::held_out) return;
  if (!seen_.insert({d.hash, d.second_hash}).second) {
    d.fate = Fate::duplicate;
    ++source.duplicates;
  } else if (d.repaired) {
    ++source.repaired;
  }
}

EncodedDocument Build::encode(std::string_view text) const {
  EncodedDocument out{.ids = {}, .bytes = text.size(), .hash = xxh64(text)};
  const std::vector<int32_t> ids = tokenizer_.encode(text, {.add_special = false});
  out.ids.reserve(ids.size() + 2);
  if (tokenizer_.bos()) out.ids.push_back(*tokenizer_.bos());
  out.ids.insert(out.ids.end(), ids.begin(), ids.end());
  if (tokenizer_.eos()) out.ids.push_back(*tokenizer_.eos());
  return out;
}

void Build::add_file(const InputFile& input, SourceWriter& out) {
  DocumentFile file(input.path, options_.format);
  uint64_t position = 0;
  for (bool more = true; more;) {
    std::vector<Prepared> batch;
    size_t bytes = 0;
    for (RawDocument raw; bytes < kBatchBytes && batch.size() < kBatchDocuments && (more = file.next(raw));) {
      bytes += raw.bytes.size();
      batch.emplace_back();
      batch.back().raw = std::move(raw);
    }
    for_each_index(pool_, batch.size(), [&](size_t i) { prepare(file, batch[i]); });
    for (Prepared& d : batch) judge(file, d, out.source);
    for_each_index(pool_, batch.size(), [&](size_t i) {
      if (batch[i].fate == Prepared::Fate::train || batch[i].fate == Prepared::Fate::held_out)
        batch[i].encoded = encode(batch[i].text);
    });
    for (const Prepared& d : batch) {
      if (d.fate == Prepared::Fate::train) out.train.add(d.encoded);
      if (d.fate == Prepared::Fate::held_out) out.held_out.add(d.encoded);
    }
    progress_.add(file.file()->position() - std::exchange(position, file.file()->position()));
  }
  file.file()->check_unchanged();
  out.source.files.push_back({.path = input.is_regular ? replace_invalid_utf8(input.path.string()) : "-",
                              .size = file.file()->position(),
                              .hash = file.file()->hash()});
}

void Build::add_source(const DataInput& input, const std::vector<InputFile>& files,
                       const std::vector<std::string>& not_text) {
  const auto side = [&](Split split) {
    return SideWriter(folder_, fmt::format("{:03}-{}", sources_.size(), split_name(split)), tokenizer_hash_,
                      options_.shard_tokens);
  };
  SourceWriter out{.source = {}, .train = side(Split::train), .held_out = side(Split::held_out)};
  out.source.name = replace_invalid_utf8(input.name);
  out.source.path = replace_invalid_utf8(input.path.string());
  out.source.weight = input.weight;
  out.source.not_text = not_text.size();
  for (const std::string& file : not_text) notice("left out " + file);
  for (const InputFile& file : files) add_file(file, out);
  if (out.source.bad_records > kNamedBadRecords)
    notice(fmt::format("left out {} more bad lines of {}", out.source.bad_records - kNamedBadRecords, out.source.path));
  sources_.push_back(std::move(out));
  if (holds_something_out())
    for (SourceWriter& s : sources_) s.close();
}

bool Build::holds_something_out() const {
  return std::any_of(sources_.begin(), sources_.end(), [](const SourceWriter& s) { return s.held_out.n_bytes() > 0; });
}

// The text comes back from the ids, which is exact: so nothing had to be kept or read again.
void Build::hold_out_pieces_of(SourceWriter& out) const {
  const auto document = out.train.longest();
  if (!document) return;
  const ShardBuilder& shard = out.train.open_shard();
  const std::string text = tokenizer_.decode(shard.ids(*document), {.skip_special = true});
  if (xxh64(text) != shard.document_hash(*document)) return;  // it spells special tokens
  const double share = static_cast<double>(out.train.n_bytes()) / static_cast<double>(text.size());
  const SplitText split = hold_out_pieces(text, std::min(0.5, options_.held_out * share), options_.seed);
  if (split.held_out.empty()) return;
  std::vector<EncodedDocument> train;
  for (const std::string_view part : split.train) train.push_back(encode(part));
  out.train.replace(*document, train);
  for (const std::string_view part : split.held_out) out.held_out.add(encode(part));
  ++out.source.held_out_by_pieces;
}

std::vector<ManifestSource> Build::finish() {
  if (options_.held_out > 0 && !holds_something_out())
    for (SourceWriter& s : sources_) hold_out_pieces_of(s);
  std::vector<ManifestSource> out;
  for (SourceWriter& s : sources_) {
    s.close();
    out.push_back(std::move(s.source));
  }
  return out;
}

// Names for the sources, all different.
std::vector<DataInput> named(std::vector<DataInput> inputs) {
  std::unordered_set<std::string> taken;
  for (DataInput& input : inputs) {
    std::string base = input.name;
    if (base.empty())
      base = input.path.has_filename() ? input.path.stem().string() : input.path.parent_path().filename().string();
    if (names_stdin(input.path)) base = "stdin";
    if (base.empty()) base = "source";
    input.name = base;
    for (int i = 2; !taken.insert(input.name).second; ++i) input.name = fmt::format("{}-{}", base, i);
  }
  return inputs;
}

void check_options(const DataBuildOptions& o) {
  if (o.output.empty()) throw_bad_input("--output is empty; give the folder to make");
  if (o.inputs.empty()) throw_bad_input("no input was given; --input FILE or FOLDER says what to read");
  for (const DataInput& input : o.inputs)
    if (!(input.weight >= kLeastWeight && input.weight <= kMostWeight))
      throw_bad_input("{}: the weight {} is not a number from {} to {}", input.path.string(), input.weight,
                      kLeastWeight, kMostWeight);
  if (!(o.held_out >= 0 && o.held_out < 1))
    throw_bad_input("a held-out fraction of {} cannot be; it is 0 or more and below 1", o.held_out);
  if (find_invalid_utf8(o.format.separator) != std::string::npos ||
      find_invalid_utf8(o.format.text_field) != std::string::npos)
    throw_bad_input("the document separator and the text field are valid UTF-8; {} is not",
                    quoted_for_message(o.format.separator + o.format.text_field));
  if (o.format.text_field.empty()) throw_bad_input("--text-field is empty; it names the key that holds the text");
  if (o.shard_tokens < 1) throw_bad_input("a shard has at least one token");
}

void refuse_nothing_left(const Manifest& m) {
  uint64_t documents = 0, empty = 0, bad = 0, invalid = 0;
  for (const ManifestSource& s : m.sources) {
    documents += s.train.documents() + s.held_out.documents();
    empty += s.empty, bad += s.bad_records, invalid += s.skipped_invalid;
  }
  if (documents == 0)
    throw_bad_input("{}: no document is left ({} were empty, {} not UTF-8, {} bad lines)", m.sources[0].path, empty,
                    invalid, bad);
}

}  // namespace

Manifest build_data(const DataBuildOptions& options) {
  check_options(options);
  const std::vector<DataInput> inputs = named(options.inputs);
  const fs::path output = options.output.has_filename() ? options.output : options.output.parent_path();
  const fs::path working = working_place(output);
  check_replaceable(output, options.force);
  std::vector<fs::path> paths;
  paths.reserve(inputs.size());
  for (const DataInput& input : inputs) paths.push_back(input.path);
  const FoundInputs found = find_inputs(paths, {.format = options.format,
                                                .not_text = options.not_text,
                                                .replaced = output,
                                                .left_out = {output, working, old_place(output)}});
  WorkingFolder folder = make_working_folder(output);

  Progress progress("encoding", found.bytes, "B", options.quiet);
  Build build(options, working, progress);
  for (size_t i = 0; i < inputs.size(); ++i) build.add_source(inputs[i], found.files[i], found.not_text[i]);
  static constexpr const char* kPolicies[] = {"replace", "skip", "refuse"};
  const Manifest m{.tokenizer_hash = xxh64(options.tokenizer_json),
                   .vocab_size = build.tokenizer().n_tokens(),
                   .seed = options.seed,
                   .held_out_fraction = options.held_out,
                   .document_separator = options.format.separator,
                   .text_field = options.format.text_field,
                   .invalid_utf8 = kPolicies[static_cast<size_t>(options.invalid_utf8)],
                   .as_text = options.format.as_text,
                   .sources = build.finish()};
  refuse_nothing_left(m);
  const auto write = [&](const char* name, const std::string& text) {
    FileWriter out(working / name);
    out.write(text);
    out.commit();
  };
  write("tokenizer.json", options.tokenizer_json);
  if (!options.tokenizer_config_json.empty()) write("tokenizer_config.json", options.tokenizer_config_json);
  write(kManifestName, write_manifest(m));
  folder.keep();
  put_in_place(output);
  return m;
}

std::vector<ChangedFile> changed_sources(const Manifest& manifest) {
  std::vector<ChangedFile> out;
  for (const ManifestSource& source : manifest.sources)
    for (const ManifestFile& file : source.files) {
      if (names_stdin(file.path)) continue;  // came through a pipe: nothing is there to compare
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
