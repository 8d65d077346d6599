// fathom tokenizer train: a byte-level BPE vocabulary of one's own, in the family's form.
#include <chrono>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/file/file.h"
#include "base/file/working_folder.h"
#include "base/json/json.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/commands/document_options.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"
#include "data/text/documents.h"
#include "tokenizer/train/train_bpe.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBatchBytes = size_t{1} << 25;
constexpr uint64_t kNamedBadRecords = 10;

struct TrainTokenizerOptions {
  std::vector<std::string> inputs, special;
  DocumentOptions documents;
  std::string output, pre = "deepseek-llm";
  int32_t vocab_size = 0;
  uint64_t min_count = 2, limit_bytes = 0;
  int threads = 0;
  bool force = false, json = false, quiet = false;
};

struct Counted {
  std::vector<CountedWord> words;
  uint64_t documents = 0, bytes = 0, bad_records = 0;
};

// The texts of a batch, without the records that cannot be read, where those are to be left out.
std::vector<std::string_view> texts_of(const DocumentFile& file, const std::vector<RawDocument>& batch,
                                       std::vector<std::string>& storage, const TrainTokenizerOptions& o,
                                       ThreadPool& pool, Counted& total) {
  std::vector<std::string_view> texts(batch.size());
  std::vector<std::string> bad(batch.size());
  storage.resize(batch.size());
  for_each_index(pool, batch.size(), [&](size_t i) {
    try {
      texts[i] = file.text(batch[i], storage[i]);
    } catch (const Error& e) {
      if (o.documents.bad_lines != "skip") throw;
      bad[i] = e.what();
    }
  });
  for (const std::string& why : bad) {
    if (why.empty()) continue;
    if (total.bad_records++ < kNamedBadRecords) print_notice("left out " + why);
  }
  return texts;
}

// Whole documents, until `limit` bytes of the file have been read.
void count_file(const fs::path& path, const DocumentFormat& format, const TrainTokenizerOptions& o, uint64_t limit,
                ThreadPool& pool, WordCounter& counter, Counted& total, Progress& progress) {
  DocumentFile file(path, format);
  uint64_t position = 0, taken = 0;
  const auto position_now = [&] { return file.file()->position(); };
  for (bool more = true; more && taken < limit;) {
    std::vector<RawDocument> batch;
    size_t bytes = 0;
    for (RawDocument raw; bytes < kBatchBytes && taken < limit && (more = file.next(raw));) {
      bytes += raw.bytes.size();
      taken += raw.bytes.size();
      batch.push_back(std::move(raw));
    }
    std::vector<std::string> storage;
    const std::vector<std::string_view> texts = texts_of(file, batch, storage, o, pool, total);
    counter.add(texts);
    for (const std::string_view text : texts) total.bytes += text.size();
    total.documents += batch.size();
    progress.add(position_now() - std::exchange(position, position_now()));
  }
}

// In the order in which they are written: without the last the folder is no tokenizer.
std::vector<fs::path> files_in(const fs::path& folder) {
  return {folder / "tokenizer_config.json", folder / "tokenizer.json"};
}

// The folder that the tokenizer goes into, made and locked before work begins, and gone again when that fails. Of one
// that is in use, such as a model's, the two files alone are replaced.
std::optional<WorkingFolder> open_output(const fs::path& folder, bool force) {
  std::error_code error;
  if (!fs::exists(folder, error) || (fs::is_directory(folder, error) && fs::is_empty(folder, error)))
    return std::make_optional<WorkingFolder>(folder, WorkingFolder::Leftovers::refused);
  if (!fs::is_directory(folder, error)) throw_bad_input("{}: is a file; name a folder", folder.string());
  for (const fs::path& file : files_in(folder)) {
    if (!force && fs::is_regular_file(file, error))
      throw_bad_input("{}: exists already; name another folder, or give --force to replace that tokenizer",
                      file.string());
    check_writable(file);
  }
  return std::nullopt;
}

// With a limit, every file gives the same share of its size on disk, so that all kinds of text are heard; what comes
// through a pipe, whose size is not known, gives up to the limit.
Counted count_inputs(const TrainTokenizerOptions& o, ThreadPool& pool) {
  DocumentFormat format = document_format(o.documents);
  format.cut_after = kBatchBytes;  // where a text is cut is seen by no more than one word
  const FoundInputs found = find_inputs(
      {o.inputs.begin(), o.inputs.end()},
      {.format = format, .not_text = not_text_files(o.documents), .replaced = {}, .left_out = files_in(o.output)});
  const double share = o.limit_bytes == 0 || found.bytes == 0 || o.limit_bytes >= found.bytes
                           ? 1.0
                           : static_cast<double>(o.limit_bytes) / static_cast<double>(found.bytes);
  Progress progress("counting words", static_cast<uint64_t>(static_cast<double>(found.bytes) * share), "B", o.quiet);
  WordCounter counter(pre_tokenizer_of_name(o.pre, "--pre"), pool);
  Counted total;
  for (const auto& files : found.files)
    for (const InputFile& file : files) {
      const uint64_t limit = o.limit_bytes == 0 ? UINT64_MAX
                             : !file.is_regular ? o.limit_bytes
                                                : static_cast<uint64_t>(static_cast<double>(file.size) * share);
      count_file(file.path, format, o, limit, pool, counter, total, progress);
    }
  for (const auto& files : found.not_text)
    for (const std::string& file : files) print_notice("left out " + file);
  if (total.bad_records > kNamedBadRecords)
    print_notice(fmt::format("left out {} more bad lines", total.bad_records - kNamedBadRecords));
  total.words = counter.take();
  if (total.words.empty()) throw_bad_input("{}: there is no text to learn from", o.inputs[0]);
  return total;
}

void write_file(const fs::path& path, const std::string& text) {
  FileWriter out(path);
  out.write(text);
  out.commit();
}

void run_train(const TrainTokenizerOptions& o) {
  const auto start = std::chrono::steady_clock::now();
  const fs::path output = folder_output(o.output);
  std::optional<WorkingFolder> made = open_output(output, o.force);
  ThreadPool pool(o.threads);
  const Counted counted = count_inputs(o, pool);
  Progress progress("learning merges", static_cast<uint64_t>(std::max(o.vocab_size, 0)), "tokens", o.quiet);
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(
      train_bpe(counted.words, {.vocab_size = o.vocab_size,
                                .min_count = o.min_count,
                                .pre = o.pre,
                                .special = o.special,
                                .on_merge = [&](int32_t n) { progress.set(static_cast<uint64_t>(n)); }}),
      o.output);
  const std::vector<fs::path> files = files_in(output);
  write_file(files[0], to_tokenizer_config_json(tokenizer));
  write_file(files[1], to_tokenizer_json(tokenizer));
  if (made) made->keep();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (o.json) {
    write_json_line(json::object{{"tokens", tokenizer.n_tokens()},
                                 {"documents", counted.documents},
                                 {"bytes", counted.bytes},
                                 {"distinct_words", counted.words.size()},
                                 {"seconds", seconds},
                                 {"threads", pool.size()},
                                 {"output", o.output}});
    return;
  }
  fmt::print("{}: {} tokens, learned from {} of text in {} documents ({} distinct words) in {:.1f} s\n", o.output,
             tokenizer.n_tokens(), human_bytes(static_cast<double>(counted.bytes)), counted.documents,
             counted.words.size(), seconds);
  if (tokenizer.n_tokens() < o.vocab_size)
    fmt::print("fewer than the {} asked for: no other pair of tokens occurs {} times in this text\n", o.vocab_size,
               o.min_count);
}

}  // namespace

void add_tokenizer(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("tokenizer", "make a tokenizer");
  command.require_subcommand(1);
  CLI::App& train = *command.add_subcommand("train", "learn a byte-level BPE vocabulary from text");
  const auto o = std::make_shared<TrainTokenizerOptions>();
  train
      .add_option("-i,--input", o->inputs,
                  "files of text or of JSON records with a \"text\" field, also packed by gzip or zstd; folders of "
                  "them; or - for "
                  "stdin")
      ->required()
      ->type_name("PATH");
  train.add_option("-n,--vocab-size", o->vocab_size, "tokens in all: bytes, learned and special ones")
      ->required()
      ->transform(whole_number(1, INT32_MAX))
      ->type_name("N");
  train.add_option("-o,--output", o->output, "folder for tokenizer.json and tokenizer_config.json")
      ->required()
      ->type_name("DIR");
  train.add_option("--special", o->special, "further special tokens, after bos and eos")->type_name("TEXT");
  train
      .add_option("--pre", o->pre, "how text is cut into words: deepseek-llm (V2), deepseek-coder, deepseek-v3, gpt-2")
      ->capture_default_str();
  train.add_option("--min-count", o->min_count, "pairs seen less often are not joined")
      ->type_name("N")
      ->transform(whole_number(0))
      ->capture_default_str();
  train
      .add_option("--limit-bytes", o->limit_bytes,
                  "learn from about so many bytes (500MB, 1GB, ...), the same share of every file; 0: all")
      ->type_name("SIZE")
      ->transform(byte_size());
  add_document_options(train, o->documents);
  train
      .add_option("-t,--threads", o->threads,
                  "default: the CPUs of this process; the result is the same for any number")
      ->type_name("N")
      ->transform(whole_number(1, kMostThreads));
  train.add_flag("--force", o->force, "replace the tokenizer that is there");
  train.add_flag("--json", o->json, "figures as JSON");
  train.add_flag("-q,--quiet", o->quiet, "no progress on stderr");
  train.footer(
      "Examples:\n  fathom tokenizer train --input books/ --vocab-size 4096 -o tokenizer\n  fathom tokenizer train -i "
      "a.txt -i b.jsonl -n 8192 --special \"<|user|>\" --special \"<|assistant|>\" -o tokenizer");
  train.callback([=] { run_train(*o); });
}

}  // namespace fathom
