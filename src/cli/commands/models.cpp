// fathom models: what `fathom pull` has brought, and its end.
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <memory>

#include "base/progress.h"
#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/output.h"
#include "hub/store.h"
#include "load/load.h"
#include "model/footprint.h"

namespace fathom {
namespace {

struct ModelsCommand {
  std::string name;
  bool json = false, yes = false;
};

struct ModelRow {
  hub::StoredModel stored;
  std::string family, type;  // empty: not known
  int64_t parameters = 0;    // 0: not known
  std::string fault;         // why fathom cannot run it
};

const char* state_name(hub::StoredModel::State state) noexcept {
  switch (state) {
    case hub::StoredModel::State::complete:
      return "complete";
    case hub::StoredModel::State::partial:
      return "partial";
    default:
      return "damaged";
  }
}

// From headers alone.
ModelRow describe_model(hub::StoredModel stored) {
  ModelRow row{.stored = std::move(stored), .family = {}, .type = {}, .parameters = 0, .fault = {}};
  row.type = row.stored.quantisation;
  if (row.stored.state != hub::StoredModel::State::complete) return row;
  try {
    Model model = load_model(row.stored.path);
    row.family = name(model.config.family);
    row.parameters = footprint(model.config).parameters;
    const auto bytes = weight_bytes(model.config, model.weights);
    const auto most =
        std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    if (row.type.empty() && most != bytes.end()) row.type = name(most->first);
  } catch (const Error& e) {
    row.fault = e.what();
  }
  return row;
}

json::object row_json(const ModelRow& r) {
  json::object out = {{"name", r.stored.name},
                      {"path", r.stored.path.string()},
                      {"bytes", r.stored.bytes},
                      {"format", r.stored.gguf ? "gguf" : "safetensors"},
                      {"state", state_name(r.stored.state)}};
  const auto add = [&](const char* key, const std::string& text) {
    if (!text.empty()) out[key] = text;
  };
  add("type", r.type);
  add("family", r.family);
  add("commit", r.stored.commit);
  add("detail", r.stored.detail);
  add("fault", r.fault);
  if (r.parameters > 0) out["parameters"] = r.parameters;
  return out;
}

std::string parameters_text(int64_t n) {
  if (n == 0) return "-";
  const auto value = static_cast<double>(n);
  return n >= 1'000'000'000 ? fmt::format("{:.1f}B", value * 1e-9)
         : n >= 1'000'000   ? fmt::format("{:.1f}M", value * 1e-6)
                            : fmt::format("{:.0f}k", value * 1e-3);
}

void print_rows(const std::vector<ModelRow>& rows) {
  size_t width = 4, type_width = 4;
  for (const ModelRow& r : rows) {
    width = std::max(width, r.stored.name.size());
    type_width = std::max(type_width, r.type.size());
  }
  for (const ModelRow& r : rows) {
    const std::string state = std::string(state_name(r.stored.state)) +
                              (r.stored.detail.empty() ? "" : " (" + r.stored.detail + ")") +
                              (r.fault.empty() ? "" : ", but cannot be run: " + r.fault);
    fmt::print("{:<{}}  {:>9}  {:<11}  {:<{}}  {:>6}  {}  {}\n", r.stored.name, width,
               human_bytes(static_cast<double>(r.stored.bytes)), r.stored.gguf ? "gguf" : "safetensors",
               r.type.empty() ? "-" : r.type, type_width, parameters_text(r.parameters), r.stored.path.string(), state);
  }
}

void list_models(const ModelsCommand& o) {
  const std::filesystem::path store = model_store_folder();
  std::vector<ModelRow> rows;
  uint64_t bytes = 0;
  for (hub::StoredModel& m : hub::list_store(store)) {
    bytes += m.bytes;
    rows.push_back(describe_model(std::move(m)));
  }
  if (o.json) {
    json::array out;
    for (const ModelRow& r : rows) out.push_back(row_json(r));
    write_json_line(json::object{{"store", store.string()}, {"models", std::move(out)}});
    return;
  }
  print_rows(rows);
  fmt::print("{} model{} in {}, {}\n", rows.size(), rows.size() == 1 ? "" : "s", store.string(),
             human_bytes(static_cast<double>(bytes)));
}

bool agrees(const std::string& question) {
  if (isatty(STDIN_FILENO) == 0) throw_bad_input("{} There is nobody to ask; give --yes", question);
  fmt::print(stderr, "{} [y/N] ", question);
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

void remove_model(const ModelsCommand& o) {
  const std::filesystem::path store = model_store_folder();
  if (!o.yes && !agrees(fmt::format("Remove {} from {}?", o.name, store.string()))) {
    fmt::print(stderr, "nothing is removed\n");
    return;
  }
  fmt::print("removed {}\n", human_bytes(static_cast<double>(hub::remove_stored(store, o.name))));
}

}  // namespace

void add_models(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("models", "models that `fathom pull` has brought");
  const auto o = std::make_shared<ModelsCommand>();
  command.add_flag("--json", o->json, "as JSON");
  command.footer(
      "What stands in the first column is what -m takes.\n"
      "Examples:\n  fathom models\n  fathom models --json");
  CLI::App& remove = *command.add_subcommand("rm", "remove one from the store");
  remove.add_option("name", o->name, "OWNER/NAME, or OWNER/NAME:TAG for one GGUF model of several")
      ->required()
      ->type_name("NAME");
  remove.add_flag("-y,--yes", o->yes, "do not ask");
  remove.footer("Examples:\n  fathom models rm deepseek-ai/DeepSeek-V2-Lite --yes");
  remove.callback([o] { remove_model(*o); });
  command.callback([o, &command] {
    if (command.get_subcommands().empty()) list_models(*o);
  });
}

}  // namespace fathom
