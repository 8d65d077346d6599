// fathom init: a config for a folder of token data.
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/file/file.h"
#include "cli/commands.h"
#include "cli/values.h"
#include "train/config/config_template.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

struct InitOptions {
  std::string data, output = "train.toml", size = "tiny";
  double parameters = 0, tokens = 0;
  bool dense = false, force = false;
};

int64_t width_of(const InitOptions& o, const TokenDataset& data) {
  if (o.parameters > 0) return hidden_size_for(o.parameters, data.vocab_size(), o.dense);
  for (const ModelSize& s : kModelSizes)
    if (s.name == o.size) return s.hidden_size;
  return kModelSizes[0].hidden_size;
}

// The data folder as seen from the folder of the config, so that the two can be moved together.
std::string path_from(const fs::path& config, const std::string& data) {
  std::error_code error;
  const fs::path folder = config.has_parent_path() ? config.parent_path() : fs::path(".");
  const fs::path path = fs::proximate(data, folder, error);
  return error ? fs::absolute(data).string() : path.string();
}

void run_init(const InitOptions& o) {
  const auto data = TokenDataset::open(o.data, VerifyContent::no);
  const bool to_stdout = o.output == "-";
  const fs::path output = o.output;
  std::error_code ignored;
  if (!to_stdout && !o.force && fs::exists(output, ignored))
    throw_bad_input("{}: exists already; name another file with -o, or replace it with --force", output.string());
  TemplateOptions t{.hidden_size = width_of(o, *data), .dense = o.dense, .tokens = {}, .data_path = {}};
  if (o.tokens > 0) t.tokens = o.tokens;
  t.data_path = path_from(output, o.data);
  const std::string text = config_template(*data, t);
  parse_train_config(text, output.string(), ".");
  if (to_stdout) {
    fmt::print("{}", text);
    return;
  }
  FileWriter file(output);
  file.write(text);
  file.commit();
  fmt::print("{0}: written; `fathom train {0} --dry-run` says what it needs, `fathom train {0}` trains it\n",
             output.string());
}

}  // namespace

void add_init(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("init", "write a training config for a folder of token data");
  const auto o = std::make_shared<InitOptions>();
  command.add_option("data", o->data, "folder that `fathom data build` made")->required()->type_name("DATA");
  command.add_option("-o,--output", o->output, "file to write; - for stdout")->type_name("FILE")->capture_default_str();
  std::vector<std::string> sizes;
  for (const ModelSize& s : kModelSizes) sizes.emplace_back(s.name);
  CLI::Option* size = command.add_option("--size", o->size, "of the model; small is that of the bundled model")
                          ->transform(one_of(sizes))
                          ->capture_default_str();
  command.add_option("--parameters", o->parameters, "of the model, in place of --size, for example 30M")
      ->type_name("N")
      ->transform(quantity(1e4, 1e11))
      ->excludes(size);
  command
      .add_option("--tokens", o->tokens,
                  "of the whole run, for example 50M; default: 20 a parameter, but one to four epochs of the data")
      ->type_name("N")
      ->transform(quantity(1, 1e18));
  command.add_flag("--dense", o->dense, "no experts");
  command.add_flag("--force", o->force, "replace the file that is there");
  command.footer(
      "Examples:\n  fathom init data\n  fathom init data -o small.toml --size small\n"
      "  fathom init data -o - --parameters 30M --tokens 100M");
  command.callback([=] { run_init(*o); });
}

}  // namespace fathom
