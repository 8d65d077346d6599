// fathom tokenize, fathom detokenize: text <-> token ids. Only the tokenizer is read, not the weights.
#include <cstdio>
#include <memory>

#include "base/json/json.h"
#include "base/text/utf8.h"
#include "cli/bundled_model.h"
#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/options.h"
#include "cli/output.h"
#include "data/text/text_stream.h"
#include "load/text.h"

namespace fathom {
namespace {

struct TokenizeOptions {
  std::string model, text, file;
  bool ids_only = false, parse_special = false, no_bos = false, json = false;
};

void run_tokenize(const TokenizeOptions& o, bool has_text) {
  const Tokenizer tokenizer = load_tokenizer(o.model);
  const std::string text = !o.file.empty() ? read_text(o.file) : !has_text || o.text == "-" ? read_stdin() : o.text;
  const std::vector<int32_t> ids = tokenizer.encode(text, {.add_special = !o.no_bos, .parse_special = o.parse_special});
  if (o.json) {
    json::array tokens;
    for (int32_t id : ids) tokens.push_back({{"id", id}, {"text", replace_invalid_utf8(tokenizer.token_bytes(id))}});
    write_json_line(json::object{{"ids", json::array(ids.begin(), ids.end())}, {"tokens", std::move(tokens)}});
  } else if (o.ids_only) {
    fmt::print("{}\n", fmt::join(ids, " "));
  } else {
    for (int32_t id : ids) fmt::print("{:>7}  {}\n", id, tokenizer.token_text(id));
  }
}

struct DetokenizeOptions {
  std::string model;
  std::vector<std::string> ids;
  bool skip_special = false, raw = false;
};

void run_detokenize(const DetokenizeOptions& o) {
  const Tokenizer tokenizer = load_tokenizer(o.model);
  const bool from_stdin = o.ids.empty() || (o.ids.size() == 1 && o.ids[0] == "-");
  const std::vector<int32_t> ids = parse_ids(from_stdin ? read_stdin() : fmt::format("{}", fmt::join(o.ids, " ")));
  const std::string text = tokenizer.decode(ids, {.skip_special = o.skip_special, .replace_invalid = !o.raw});
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (!o.raw) std::fputc('\n', stdout);
}

void add_tokenizer_option(CLI::App& command, std::string& model) {
  model = bundled_model();
  command
      .add_option("-m,--model", model,
                  "folder with tokenizer.json, a .gguf file, or OWNER/NAME of a pulled model; default: the model that "
                  "comes with fathom")
      ->required(model.empty())
      ->type_name("MODEL")
      ->transform(pulled_model());
}

}  // namespace

void add_tokenize(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("tokenize", "text to token ids");
  const auto o = std::make_shared<TokenizeOptions>();
  add_tokenizer_option(command, o->model);
  auto* text = command.add_option("text", o->text, "text; none, or -, reads stdin")->type_name("TEXT");
  command.add_option("-f,--file", o->file, "file to read the text from")->type_name("FILE")->excludes(text);
  command.add_flag("--ids", o->ids_only, "only the ids, on one line");
  command.add_flag("--special", o->parse_special, "special tokens spelled in the text become those tokens");
  command.add_flag("--no-bos", o->no_bos, "add nothing in front or behind");
  command.add_flag("--json", o->json, "as JSON");
  command.footer("Examples:\n  fathom tokenize -m MODEL \"Hello world\"\n  fathom tokenize -m MODEL -f book.txt --ids");
  command.callback([=] { run_tokenize(*o, text->count() > 0); });
}

void add_detokenize(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("detokenize", "token ids to text");
  const auto o = std::make_shared<DetokenizeOptions>();
  add_tokenizer_option(command, o->model);
  command.add_option("ids", o->ids, "token ids; none, or -, reads stdin")->type_name("IDS");
  command.add_flag("--skip-special", o->skip_special, "leave special tokens out");
  command.add_flag("--raw", o->raw, "the bytes as they are, even where they are not valid UTF-8, and no line end");
  command.footer(
      "Examples:\n  fathom detokenize -m MODEL 17464 1843\n  fathom tokenize -m MODEL \"Hello\" --ids | fathom "
      "detokenize -m MODEL");
  command.callback([=] { run_detokenize(*o); });
}

}  // namespace fathom
