// fathom tune: measures what choices depend on, keeps it, and says what follows.
#include <array>
#include <memory>

#include "base/json/json.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "model/attention/int16/mla_int16.h"

namespace fathom {
namespace {

struct TuneCommand {
  bool show = false, json = false;
};

constexpr std::array<int64_t, 4> kDepths = {512, 2048, 8192, 32768};

int64_t folded_up_to(const MlaCosts& costs, bool packed, int64_t depth) {
  static const ModelConfig config = lite_attention();
  return most_absorbed(config, costs, packed, depth, kChunkTokens);
}

json::object costs_json(const MlaCosts& costs) {
  json::object out;
  for (const MlaCostName& c : kMlaCosts) out[c.name] = costs.*c.cost;
  return out;
}

void print_costs_json(const MachineCosts& costs) {
  const MachineKey key = this_machine();
  json::array folded;
  for (const bool packed : {true, false})
    for (const int64_t depth : kDepths)
      folded.push_back(
          json::object{{"packed", packed}, {"depth", depth}, {"folded_up_to", folded_up_to(costs.mla, packed, depth)}});
  json::object out{{"cpu", key.cpu},
                   {"isa", key.isa},
                   {"source", describe_source(costs)},
                   {"measured", costs.measured},
                   {"file", costs.path.string()},
                   {"mla", costs_json(costs.mla)},
                   {"mla_built_in", costs_json({})},
                   {"v2_lite", std::move(folded)}};
  write_json_line(std::move(out));
}

void print_costs_table(const MachineCosts& costs) {
  const MachineKey key = this_machine();
  fmt::print("{}, {} kernels: {}\n\n", key.cpu, key.isa, describe_source(costs));
  fmt::print("{:<52}{:>8}{:>10}\n", "cost of a multiply-add, that of absorbed attention 1", "here", "built in");
  for (const MlaCostName& c : kMlaCosts)
    fmt::print("{:<52}{:>8g}{:>10g}\n", fmt::format("  {}", c.meaning), costs.mla.*c.cost, MlaCosts{}.*c.cost);
  fmt::print("\n{:<52}{:>8}{:>10}\n", "V2-Lite: absorbed up to so many new tokens", "here", "built in");
  for (const bool packed : {true, false})
    for (const int64_t depth : kDepths)
      fmt::print("{:<52}{:>8}{:>10}\n",
                 fmt::format("  after {}, {}", depth, packed ? "packed weights" : "weights as stored"),
                 folded_up_to(costs.mla, packed, depth), folded_up_to({}, packed, depth));
}

void run_tune(const TuneCommand& o) {
  const MachineCosts costs =
      o.show ? kept_costs(cache_folder(), print_notice) : machine_costs(cache_folder(), print_notice, Measure::again);
  (o.json ? print_costs_json : print_costs_table)(costs);
}

}  // namespace

void add_tune(CLI::App& app) {
  CLI::App& command = *app.add_subcommand(
      "tune", "measure again what choices on this machine depend on: half a second; runs of large models do it once");
  const auto o = std::make_shared<TuneCommand>();
  command.add_flag("--show", o->show, "measure nothing: what the next run of a large model would find");
  command.add_flag("--json", o->json, "as JSON");
  command.footer(
      "The file is in machine/ of the cache folder (see `fathom cache`); deleting it is safe. FATHOM_TUNE=off uses the "
      "built-in costs everywhere, for the same bits on every machine of one instruction set; FATHOM_TUNE=always "
      "measures for small models too.\n"
      "Examples:\n  fathom tune\n  fathom tune --show --json\n  FATHOM_TUNE=off fathom generate -m model.gguf -p Hi");
  command.callback([=] { run_tune(*o); });
}

}  // namespace fathom
