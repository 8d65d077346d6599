// fathom data build, fathom data show: text -> token files, and what is in them.
#include <charconv>
#include <chrono>
#include <filesystem>
#include <memory>

#include "base/json/json.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/commands/document_options.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"
#include "data/build.h"
#include "data/stream.h"
#include "load/text.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

struct BuildCommand {
  DataBuildOptions build;
  DocumentOptions documents;
  std::string tokenizer, output, invalid_utf8 = "replace";
  std::vector<std::string> inputs;
  bool json = false;
};

// PATH or PATH=WEIGHT; a path that exists may itself contain '='.
DataInput parse_input(const std::string& text) {
  if (text.empty()) throw_bad_input("--input is empty; give a file, a folder, or - for stdin");
  std::error_code error;
  const size_t at = text.rfind('=');
  if (at == std::string::npos || fs::exists(text, error)) return {.path = text, .weight = 1, .name = {}};
  double weight = 0;
  const char *begin = text.data() + at + 1, *end = text.data() + text.size();
  if (std::from_chars(begin, end, weight).ptr != end || begin == end)
    throw_bad_input("--input {}: what follows '=' is a weight, for example books=2", quoted_for_message(text));
  return {.path = text.substr(0, at), .weight = weight, .name = {}};
}

// The tokenizer's files as they are, so that nothing of them is lost; from a GGUF file they are made.
void read_tokenizer(const std::string& path, DataBuildOptions& o) {
  if (path.empty()) throw_bad_input("--tokenizer is empty; give a folder with tokenizer.json, or a .gguf file");
  const Tokenizer tokenizer = load_tokenizer(path);  // names what is wrong
  std::error_code error;
  const fs::path folder = fs::is_directory(path, error) ? fs::path(path) : fs::path(path).parent_path();
  if (looks_like_gguf(path) || !fs::exists(folder / "tokenizer.json", error)) {
    o.tokenizer_json = to_tokenizer_json(tokenizer);
    o.tokenizer_config_json = to_tokenizer_config_json(tokenizer);
    return;
  }
  o.tokenizer_json = read_file(folder / "tokenizer.json");
  if (fs::exists(folder / "tokenizer_config.json", error))
    o.tokenizer_config_json = read_file(folder / "tokenizer_config.json");
}

void print_side(const char* name, const ManifestSide& side) {
  if (side.documents() == 0) return;
  fmt::print("    {:<9} {:>10} documents {:>13} tokens {:>12}  {:.3f} bytes/token  {} shard(s)\n", name,
             side.documents(), side.tokens(), human_bytes(static_cast<double>(side.bytes())),
             static_cast<double>(side.bytes()) / static_cast<double>(side.tokens()), side.shards.size());
}

// What a run that evaluates would be refused for.
void print_held_out(const Manifest& m) {
  uint64_t documents = 0, by_pieces = 0;
  for (const ManifestSource& s : m.sources) {
    documents += s.held_out.documents();
    by_pieces += s.held_out_by_pieces;
  }
  if (documents == 0)
    fmt::print("  nothing is held out: a training run cannot evaluate on this data; give {}\n",
               m.held_out_fraction > 0 ? "a larger --held-out, or more text" : "--held-out above 0");
  else if (by_pieces > 0)
    fmt::print("  no whole document fell below {}, so pieces of the longest of each source are held out\n",
               m.held_out_fraction);
}

void print_manifest(const fs::path& folder, const Manifest& m) {
  uint64_t train = 0, held_out = 0;
  double weighted = 0;
  for (const ManifestSource& s : m.sources) {
    train += s.train.tokens();
    held_out += s.held_out.tokens();
    weighted += s.weight * static_cast<double>(s.train.tokens());
  }
  fmt::print("{}: {} train tokens, {} held out ({} of documents, seed {}), vocabulary of {}\n", folder.string(), train,
             held_out, m.held_out_fraction, m.seed, m.vocab_size);
  for (const ManifestSource& s : m.sources) {
    fmt::print("  {}: weight {}, {:.1f} % of the mixture, {} file(s) of {}", s.name, s.weight,
               100 * s.weight * static_cast<double>(s.train.tokens()) / std::max(weighted, 1.0), s.files.size(),
               s.path);
    if (s.duplicates > 0) fmt::print(", {} duplicate(s) left out", s.duplicates);
    if (s.empty > 0) fmt::print(", {} empty", s.empty);
    if (s.skipped_invalid > 0) fmt::print(", {} left out as not UTF-8", s.skipped_invalid);
    if (s.repaired > 0) fmt::print(", {} repaired to UTF-8", s.repaired);
    if (s.bad_records > 0) fmt::print(", {} bad line(s) left out", s.bad_records);
    if (s.not_text > 0) fmt::print(", {} file(s) left out that are not text", s.not_text);
    fmt::print("\n");
    print_side("train", s.train);
    print_side("held out", s.held_out);
  }
  print_held_out(m);
}

void run_build(BuildCommand& o) {
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& input : o.inputs) o.build.inputs.push_back(parse_input(input));
  o.build.format = document_format(o.documents);
  o.build.not_text = not_text_files(o.documents);
  o.build.notice = print_notice;
  o.build.invalid_utf8 = o.invalid_utf8 == "replace" ? InvalidUtf8::replace
                         : o.invalid_utf8 == "skip"  ? InvalidUtf8::skip
                                                     : InvalidUtf8::refuse;
  o.build.output = folder_output(o.output);
  read_tokenizer(o.tokenizer, o.build);
  const Manifest m = build_data(o.build);
  if (o.json) {
    fmt::print("{}", write_manifest(m));
    return;
  }
  print_manifest(o.build.output, m);
  fmt::print("built in {:.1f} s\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

struct ShowCommand {
  std::string folder, source;
  int64_t document = -1, sequence = -1, length = 256, tokens = 256;
  uint64_t seed = 0;
  bool held_out = false, check = false, json = false;
};

void check_sources(const Manifest& m) {
  const std::vector<ChangedFile> changed = changed_sources(m);
  for (const ChangedFile& file : changed) fmt::print("{}: {}\n", file.path, file.what);
  if (!changed.empty())
    throw_bad_input("{} source file(s) are not what the data was built from; the token files themselves are whole",
                    changed.size());
  fmt::print("every shard and every source file is as it was\n");
}

const DataSource& find_source(const TokenDataset& data, const std::string& name) {
  for (const DataSource& s : data.sources())
    if (name.empty() || s.name == name) return s;
  throw_bad_input("{}: there is no source {}; `fathom data show {}` lists them", data.folder().string(),
                  quoted_for_message(name), data.folder().string());
}

void show_document(const TokenDataset& data, const ShowCommand& o) {
  const TokenRun& run = find_source(data, o.source).run(o.held_out ? Split::held_out : Split::train);
  if (o.document >= run.n_documents())
    throw_bad_input("document {} is not there; the source has {} on this side", o.document, run.n_documents());
  const int64_t begin = run.document_begin(o.document), all = run.document_begin(o.document + 1) - begin;
  std::vector<int32_t> ids(static_cast<size_t>(std::min(all, o.tokens)));
  run.copy(begin, static_cast<int64_t>(ids.size()), data.vocab_size(), ids.data());
  fmt::print("document {} of {}: {} tokens, {} bytes, hash {:016x}{}\n{}\n", o.document, run.n_documents(), all,
             run.document_bytes(o.document), run.document_hash(o.document),
             static_cast<int64_t>(ids.size()) < all ? fmt::format("; the first {} tokens:", ids.size()) : std::string(),
             data.tokenizer().decode(ids, {.replace_invalid = true}));
}

void show_sequence(const std::shared_ptr<const TokenDataset>& data, const ShowCommand& o) {
  PackedSequence s;
  if (o.held_out) {
    const HeldOutReader reader(data, o.length);
    if (o.sequence >= reader.size()) throw_bad_input("there are {} held-out sequences of this length", reader.size());
    reader.sequence(o.sequence, s);
  } else {
    const TokenStream stream(data, {.sequence_length = o.length, .seed = o.seed, .weights = {}});
    stream.sequence(o.sequence, s);
    fmt::print("{} sequences an epoch; ", stream.sequences_per_epoch());
  }
  fmt::print("sequence {}: source {}, id {:016x}, {} part(s)\n", o.sequence,
             data->sources()[static_cast<size_t>(s.source)].name, s.id, s.document_starts.size());
  for (size_t i = 0; i < s.document_starts.size(); ++i) {
    const auto begin = static_cast<size_t>(s.document_starts[i]);
    const auto end = i + 1 < s.document_starts.size() ? static_cast<size_t>(s.document_starts[i + 1]) : s.tokens.size();
    const auto ids = std::span(s.tokens).subspan(begin, end - begin);
    fmt::print("-- tokens {} to {}\n{}\n", begin, end - 1, data->tokenizer().decode(ids, {.replace_invalid = true}));
  }
}

void run_show(const ShowCommand& o) {
  const auto data = TokenDataset::open(o.folder);
  if (o.json) {
    fmt::print("{}", write_manifest(data->manifest()));
  } else if (o.check) {
    check_sources(data->manifest());
  } else if (o.document >= 0) {
    show_document(*data, o);
  } else if (o.sequence >= 0) {
    show_sequence(data, o);
  } else {
    print_manifest(o.folder, data->manifest());
  }
}

void add_build(CLI::App& parent) {
  CLI::App& command = *parent.add_subcommand("build", "text to token files");
  const auto o = std::make_shared<BuildCommand>();
  command.add_option("--tokenizer", o->tokenizer, "folder with tokenizer.json, or a .gguf file")
      ->required()
      ->type_name("DIR");
  command
      .add_option("-i,--input", o->inputs,
                  "one source: a file of text or of JSON records with a \"text\" field, also packed by gzip or zstd; a "
                  "folder of "
                  "them; or - for stdin; WEIGHT: how often it is seen in an epoch (1)")
      ->required()
      ->type_name("PATH[=WEIGHT]");
  command.add_option("-o,--output", o->output, "folder to make")->required()->type_name("DIR");
  command.add_option("--held-out", o->build.held_out, "fraction of the documents kept from training")
      ->type_name("F")
      ->transform(real_number(0, 1))
      ->capture_default_str();
  command.add_option("--seed", o->build.seed, "of the choice of held-out documents")
      ->type_name("S")
      ->transform(seed_number())
      ->capture_default_str();
  add_document_options(command, o->documents);
  command
      .add_option("--invalid-utf8", o->invalid_utf8,
                  "replace: ill-formed bytes become U+FFFD; skip: leave the document out; refuse: stop")
      ->transform(one_of({"replace", "skip", "refuse"}))
      ->capture_default_str();
  command.add_option("--shard-tokens", o->build.shard_tokens, "tokens after which a new file begins")
      ->type_name("N")
      ->transform(whole_number(1))
      ->capture_default_str();
  command
      .add_option("-t,--threads", o->build.threads,
                  "default: the CPUs of this process; the result is the same for any number")
      ->type_name("N")
      ->transform(whole_number(1, kMostThreads));
  command.add_flag("--force", o->build.force, "replace the token data that is there");
  command.add_flag("--json", o->json, "print the manifest");
  command.add_flag("-q,--quiet", o->build.quiet, "no progress on stderr");
  command.footer(
      "Examples:\n  fathom data build --tokenizer tokenizer --input books/ --input code.jsonl=0.5 -o data\n  fathom "
      "data "
      "build --tokenizer MODEL -i all.txt --document-separator \"\\n\\n\\n\" -o data\n"
      "  xz -dc dump.jsonl.xz | fathom data build --tokenizer tokenizer -i - --bad-lines skip -o data");
  command.callback([=] { run_build(*o); });
}

void add_show(CLI::App& parent) {
  CLI::App& command = *parent.add_subcommand("show", "what token files hold");
  const auto o = std::make_shared<ShowCommand>();
  command.add_option("folder", o->folder, "folder that `fathom data build` made")->required()->type_name("DIR");
  auto* document =
      command.add_option("--document", o->document, "the text of document N of the source")->type_name("N");
  command.add_option("--source", o->source, "with --document: name of the source; default: the first")
      ->type_name("NAME")
      ->needs(document);
  command.add_option("--tokens", o->tokens, "at most so many of its tokens")
      ->type_name("N")
      ->transform(whole_number(0))
      ->capture_default_str();
  auto* sequence = command.add_option("--sequence", o->sequence, "what training sees as sequence G")
                       ->type_name("G")
                       ->excludes(document);
  command.add_option("--length", o->length, "of sequences")
      ->type_name("T")
      ->transform(whole_number(1, 1 << 20))
      ->capture_default_str();
  command.add_option("--seed", o->seed, "of the order of sequences")
      ->type_name("S")
      ->transform(seed_number())
      ->capture_default_str();
  command.add_flag("--held-out", o->held_out, "from the held-out side");
  auto* check = command.add_flag("--check", o->check, "is every source file still what the data was built from?");
  check->excludes(document)->excludes(sequence);
  command.add_flag("--json", o->json, "the manifest");
  for (CLI::Option* number : {document, sequence}) number->transform(whole_number(0));
  command.footer(
      "Examples:\n  fathom data show data\n  fathom data show data --source books --document 3\n  fathom data show "
      "data "
      "--sequence 0 --length 512");
  command.callback([=] { run_show(*o); });
}

}  // namespace

void add_data(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("data", "training data: text to token files, and what they hold");
  command.require_subcommand(1);
  add_build(command);
  add_show(command);
}

}  // namespace fathom
