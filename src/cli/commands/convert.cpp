// fathom convert, fathom synth: models are written.
#include <cstdio>
#include <memory>

#include "base/file/file.h"
#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"
#include "cli/write_progress.h"
#include "convert/convert.h"
#include "convert/synth/shapes.h"
#include "convert/synth/synth.h"
#include "data/text/text_stream.h"

namespace fathom {
namespace {

struct WriteOptions {
  std::string name, type;
  std::filesystem::path out;  // what the name stands for
  uint64_t max_shard_bytes = 0;
  int threads = 0;
  bool quiet = false;
};

void add_write_options(CLI::App& command, WriteOptions& o) {
  command
      .add_option("--max-shard-size", o.max_shard_bytes,
                  "split the weights over files of at most this size (2GB, 500MB, ...); default: 5GB in a folder, one "
                  "GGUF file")
      ->type_name("SIZE")
      ->transform(byte_size());
  command.add_option("-t,--threads", o.threads, "threads; default: the CPUs of this process")
      ->type_name("N")
      ->transform(whole_number(1, kMostThreads));
  command.add_flag("-q,--quiet", o.quiet, "no progress on stderr");
}

OutputOptions output_options(const WriteOptions& o) {
  return {.type = o.type.empty() ? WrittenType{} : parse_written_type(o.type), .max_shard_bytes = o.max_shard_bytes};
}

struct ConvertOptions {
  std::string in;
  bool json = false;
  WriteOptions write;
};

void say_size(const WriteOptions& o, const WriteProgress& progress) {
  if (!o.quiet) fmt::print(stderr, "{}: {}\n", o.out.string(), human_bytes(static_cast<double>(progress.total())));
}

void run_convert(ConvertOptions o) {
  o.write.out = model_output(o.write.name);
  if (o.json && is_stdout(o.write.out))
    throw_bad_input("{}: the model and --json both go to stdout; name a file", o.write.name);
  ThreadPool pool(o.write.threads);
  WriteProgress progress("converting", "B", o.write.quiet || o.json);
  check_output_free(without_trailing_slash(o.write.out));
  Model model = open_model(o.in);
  const std::vector<std::string> lost = convert_model(pool, model, o.write.out, output_options(o.write), progress.fn());
  if (o.json) {
    write_json_line({{"output", o.write.out.string()},
                     {"weight_bytes", progress.total()},
                     {"notes", json::array(model.notes.begin(), model.notes.end())},
                     {"lost", json::array(lost.begin(), lost.end())}});
    return;
  }
  say_size(o.write, progress);
  for (const std::string& thing : lost) print_notice("not carried: " + thing);
}

struct SynthCommand {
  std::string shape, tokenizer;
  uint64_t seed = 0;
  WriteOptions write;
};

ModelConfig read_shape(const std::string& shape) {
  if (const auto known = shape_by_name(shape)) return *known;
  if (!shape.ends_with(".json"))
    throw_bad_input("--shape {}: there is no such shape; known are {}, or name a config.json",
                    quoted_for_message(shape, 60), shape_names());
  return config_from_json(read_text(shape, 1 << 20), shape);
}

void run_synth(SynthCommand o) {
  o.write.out = model_output(o.write.name);
  ThreadPool pool(o.write.threads);
  SynthOptions options{.seed = o.seed, .output = output_options(o.write), .tokenizer = {}};
  if (!o.tokenizer.empty()) options.tokenizer = o.tokenizer;
  WriteProgress progress("writing", "B", o.write.quiet);
  synth_model(pool, read_shape(o.shape), o.write.out, options, progress.fn());
  say_size(o.write, progress);
}

}  // namespace

void add_convert(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("convert", "a model in another container or with other element types");
  const auto o = std::make_shared<ConvertOptions>();
  command
      .add_option("-m,--model,in", o->in,
                  "folder with config.json and safetensors, a .gguf file, or OWNER/NAME of a pulled model")
      ->required()
      ->type_name("IN")
      ->transform(pulled_model());
  command
      .add_option("-o,--out,--output,--outfile,out", o->write.name,
                  "a name that ends in .gguf, or else a folder to make; - for stdout")
      ->required()
      ->type_name("OUT");
  command
      .add_option("--type,--outtype", o->write.type, "element type: " + written_type_names() + "; default: as in IN")
      ->type_name("TYPE");
  add_write_options(command, o->write);
  command.add_flag("--json", o->json, "what was written, and what could not be carried, as JSON on stdout");
  command.footer(
      "Examples:\n  fathom convert DeepSeek-V2-Lite/ lite.gguf --type q4_k_m\n  fathom convert lite.gguf lite-bf16/ "
      "--type bf16\n"
      "  fathom convert DeepSeek-V2/ v2.gguf --type q4_0 --max-shard-size 40GB");
  command.callback([=] { run_convert(*o); });
}

void add_synth(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("synth", "a model of random weights, in any shape and element type");
  const auto o = std::make_shared<SynthCommand>();
  command.add_option("--shape", o->shape, shape_names() + ", or a config.json")->required()->type_name("SHAPE");
  command.add_option("--type", o->write.type, "element type: " + written_type_names())->required()->type_name("TYPE");
  command.add_option("--seed", o->seed, "same seed, same weights, whatever they are written as")
      ->type_name("S")
      ->transform(seed_number())
      ->capture_default_str();
  command
      .add_option("--tokenizer", o->tokenizer,
                  "model or folder to take the tokenizer from; default: a made-up vocabulary")
      ->type_name("MODEL");
  command
      .add_option("-o,--out,--output,out", o->write.name,
                  "a name that ends in .gguf, or else a folder to make; - for stdout")
      ->required()
      ->type_name("OUT");
  add_write_options(command, o->write);
  command.footer(
      "Examples:\n  fathom synth --shape tiny --type bf16 --seed 1 tiny.gguf\n  fathom synth --shape v2-lite --type "
      "q4_0 lite-q4_0.gguf      (9 GB)\n"
      "  fathom synth --shape my/config.json --type f8_e4m3 my-model/");
  command.callback([=] { run_synth(*o); });
}

}  // namespace fathom
