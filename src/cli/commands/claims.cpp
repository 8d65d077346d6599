// fathom claims: the three headline numbers of the paper, each counted or measured here.
#include <cstdio>
#include <memory>
#include <optional>

#include "base/progress.h"
#include "claims/kv_claim.h"
#include "claims/throughput_claim.h"
#include "claims/training_claim.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/values.h"

namespace fathom {
namespace {

constexpr int64_t kMostKvTokens = 8192;  // 67B in float32 then takes 6.4 GB

struct ClaimOutput {
  bool json = false, quiet = false;
};

void add_output_options(CLI::App& command, ClaimOutput& o) {
  command.add_flag("--json", o.json, "one JSON object instead of a table");
  command.add_flag("-q,--quiet", o.quiet, "no progress on stderr");
}

// Makes a claim with a progress line, and prints it.
template <class MakeClaim>
void print_claim(const ClaimOutput& o, const char* label, const char* unit, MakeClaim&& make) {
  std::optional<Progress> bar;
  const auto claim = make([&](size_t done, size_t total) {
    if (!bar) bar.emplace(label, total, unit, o.quiet);
    bar->set(done);
  });
  bar.reset();
  write_stdout(o.json ? to_pretty_json(to_json(claim)) : to_table(claim));
}

struct KvClaimCommand {
  int64_t tokens = 640;
  ClaimOutput output;
};

void run_claim_kv(const KvClaimCommand& o) {
  print_claim(o.output, "counting", "formats", [&](const auto& progress) { return claim_kv(o.tokens, progress); });
}

void add_claim_kv(CLI::App& app) {
  CLI::App& command = *app.add_subcommand(
      "kv", "93.3 % less cache: bytes a token of every format against 67B's, counted on caches of both shapes");
  const auto o = std::make_shared<KvClaimCommand>();
  command
      .add_option("--tokens", o->tokens, "tokens of each cache; all of them are taken from memory, one cache at a time")
      ->type_name("N")
      ->transform(whole_number(1, kMostKvTokens))
      ->capture_default_str();
  add_output_options(command, o->output);
  command.footer("Examples:\n  fathom claims kv\n  fathom claims kv --tokens 128 --json\n\nSee docs/claims.md.");
  command.callback([o] { run_claim_kv(*o); });
}

struct TrainingClaimCommand {
  TrainingClaimOptions claim;
  ClaimOutput output;
};

void add_claim_training(CLI::App& app) {
  CLI::App& command = *app.add_subcommand(
      "training", "42.5 % cheaper training: operations a token of both shapes, and seconds a token of both made small");
  const auto o = std::make_shared<TrainingClaimCommand>();
  command
      .add_option(
          "--scale", o->claim.scale,
          "widths, heads and lengths of both shapes are divided by it; 8 needs about 20 GB, 16 five, 64 one half")
      ->type_name("N")
      ->transform(whole_number(4, 64))
      ->capture_default_str();
  command.add_option("--sequences", o->claim.sequences, "of a micro-batch, each of 4096 / scale tokens")
      ->type_name("N")
      ->transform(whole_number(1, 4096))
      ->capture_default_str();
  command.add_option("--rounds", o->claim.rounds, "turns of each shape, after one that is not counted")
      ->type_name("N")
      ->transform(whole_number(1, 100))
      ->capture_default_str();
  command.add_option("-t,--threads", o->claim.threads, "default: the CPUs of this process")
      ->type_name("N")
      ->transform(whole_number(1, kMostThreads));
  add_output_options(command, o->output);
  command.footer(
      "Examples:\n  fathom claims training --scale 64\n  fathom claims training --scale 64 --sequences 2 --rounds 5 "
      "--json\n\nSee docs/claims.md.");
  command.callback([o] {
    print_claim(o->output, "training", "micro-batches", [&](const auto& progress) {
      TrainingClaimOptions claim = o->claim;
      claim.progress = progress;
      return claim_training(claim);
    });
  });
}

struct ThroughputClaimCommand {
  ThroughputClaimOptions claim;
  std::string scale = "8";
  uint64_t memory = 0;
  ClaimOutput output;
};

void run_claim_throughput(const ThroughputClaimCommand& o) {
  ThroughputClaimOptions claim = o.claim;
  claim.scale = std::stoll(o.scale);
  claim.memory = static_cast<double>(o.memory);
  print_claim(o.output, "generating", "turns", [&](const auto& progress) {
    claim.progress = progress;
    return claim_throughput(claim);
  });
}

void add_throughput_sizes(CLI::App& command, ThroughputClaimCommand& o) {
  command
      .add_option(
          "--scale", o.scale,
          "widths, heads and lengths of both shapes are divided by it, memory by its square; 8 needs about 4 GB")
      ->transform(one_of({"4", "8", "16"}))
      ->capture_default_str();
  command.add_option("--fewer-layers", o.claim.fewer_layers, "layers of both and memory are divided by it too")
      ->type_name("N")
      ->transform(whole_number(1, 30))
      ->capture_default_str();
  command.add_option("--prompt", o.claim.prompt, "tokens of a prompt of the shapes themselves")
      ->type_name("N")
      ->transform(whole_number(1, 4096))
      ->capture_default_str();
  command
      .add_option("--generate", o.claim.generated, "generated tokens of a sequence; 4096 with the prompt's, at most")
      ->type_name("N")
      ->transform(whole_number(1, 4096))
      ->capture_default_str();
  command
      .add_option("--memory", o.memory,
                  "for weights and cache of each; default: 640 GB of the paper's node, made small as the shapes")
      ->type_name("SIZE")
      ->transform(byte_size());
}

void add_claim_throughput(CLI::App& app) {
  CLI::App& command = *app.add_subcommand(
      "throughput",
      "5.76 times the generation throughput: both shapes made small, with as many sequences as equal "
      "memory has room for");
  const auto o = std::make_shared<ThroughputClaimCommand>();
  add_throughput_sizes(command, *o);
  command.add_option("--steps", o->claim.steps, "tokens of each sequence in a turn, after one that is not counted")
      ->type_name("N")
      ->transform(whole_number(1, 64))
      ->capture_default_str();
  command.add_option("--rounds", o->claim.rounds, "turns of each shape and format")
      ->type_name("N")
      ->transform(whole_number(1, 100))
      ->capture_default_str();
  command.add_flag("--deployed", o->claim.deployed_only,
                   "only the two that the headline compares, not what each idea gives");
  command.add_option("-t,--threads", o->claim.threads, "default: the CPUs of this process")
      ->type_name("N")
      ->transform(whole_number(1, kMostThreads));
  add_output_options(command, o->output);
  command.footer(
      "Examples:\n  fathom claims throughput --scale 16 --fewer-layers 30 --memory 100MB\n  fathom claims throughput "
      "--scale 16 --fewer-layers 30 --deployed --rounds 3 --json\n\nSee docs/claims.md.");
  command.callback([o] { run_claim_throughput(*o); });
}

}  // namespace

void add_claims(CLI::App& app) {
  CLI::App& command =
      *app.add_subcommand("claims", "the paper's headline numbers, counted or measured on this machine");
  command.require_subcommand(1);
  add_claim_kv(command);
  add_claim_training(command);
  add_claim_throughput(command);
}

}  // namespace fathom
