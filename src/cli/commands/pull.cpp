// fathom pull: a model from the Hugging Face hub.
#include "hub/pull.h"

#include <unistd.h>

#include <memory>
#include <optional>

#include "base/interrupt.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/model_store.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"

namespace fathom {
namespace {

struct PullCommand {
  std::string repository, revision, file, folder;
  int64_t connections = 8;
  int retries = 8;
  long timeout = 60;
  bool verify = false, dry_run = false, json = false, quiet = false;
};

hub::RepositoryName wanted_repository(const PullCommand& o) {
  hub::RepositoryName name = hub::parse_repository(o.repository);
  if (!o.revision.empty()) {
    if (!name.revision.empty()) throw_bad_input("{} and --revision both name a revision; one is enough", o.repository);
    name = hub::parse_repository(o.repository + '@' + o.revision);
  }
  if (!o.file.empty()) {
    if (!name.tag.empty()) throw_bad_input("{} and --file both choose a GGUF file; one is enough", o.repository);
    name.file = o.file;
  }
  return name;
}

hub::PullOptions pull_options(const PullCommand& o) {
  hub::PullOptions p;
  p.repository = wanted_repository(o);
  p.folder = o.folder.empty() ? model_store_folder() / p.repository.owner / p.repository.name
                              : std::filesystem::absolute(folder_output(o.folder)).lexically_normal();
  p.settings = hub::read_settings();
  p.limits.connections = static_cast<size_t>(o.connections);
  p.limits.retries = o.retries;
  p.patience.silence = o.timeout;
  p.verify = o.verify;
  p.dry_run = o.dry_run;
  p.notice = [](const std::string& sentence) { print_notice(sentence); };
  return p;
}

// What -m takes for what was pulled.
std::string name_for_m(const PullCommand& o, const hub::PullOptions& p, const hub::PullResult& r) {
  if (!o.folder.empty() || !p.repository.file.empty()) return r.model.string();
  return p.repository.tag.empty() ? p.repository.id() : p.repository.id() + ':' + p.repository.tag;
}

void print_pulled_json(const hub::PullOptions& p, const hub::PullResult& r) {
  json::array files;
  for (const hub::HubFile& f : r.files)
    files.push_back(json::object{{"name", f.name},
                                 {"bytes", f.size},
                                 {f.digest.kind == hub::DigestKind::sha256 ? "sha256" : "git_blob", f.digest.hex}});
  write_json_line(json::object{{"repository", p.repository.id()},
                               {"commit", r.commit},
                               {"model", r.model.string()},
                               {"bytes", r.bytes},
                               {"fetched_bytes", r.fetched},
                               {"files", std::move(files)}});
}

void print_pulled(const PullCommand& o, const hub::PullOptions& p, const hub::PullResult& r) {
  if (o.json) return print_pulled_json(p, r);
  if (o.dry_run) {
    for (const hub::HubFile& f : r.files) fmt::print("{:>10}  {}\n", human_bytes(static_cast<double>(f.size)), f.name);
    fmt::print("{:>10}  in {} file{}, commit {}\n", human_bytes(static_cast<double>(r.bytes)), r.files.size(),
               r.files.size() == 1 ? "" : "s", r.commit);
    return;
  }
  fmt::print("{}\n", r.model.string());
  if (o.quiet) return;
  const std::string what =
      r.fetched == 0 ? "all of it was there" : human_bytes(static_cast<double>(r.fetched)) + " came";
  fmt::print(stderr, "{}: {} in {} file{}, {}. Try: fathom chat -m {}\n", p.repository.id(),
             human_bytes(static_cast<double>(r.bytes)), r.files.size(), r.files.size() == 1 ? "" : "s", what,
             name_for_m(o, p, r));
}

void run_pull(const PullCommand& o) {
  hub::PullOptions p = pull_options(o);
  if (!p.settings.notice.empty()) print_notice(p.settings.notice);
  std::optional<Progress> bar;
  uint64_t left_before = 0;
  p.begin = [&](uint64_t total, uint64_t left) {
    left_before = left;
    if (left > 0 && !o.quiet)
      print_notice(fmt::format("{} of {} are there already; going on with the rest",
                               human_bytes(static_cast<double>(left)), human_bytes(static_cast<double>(total))));
    bar.emplace("pulling", total - left, "B", o.quiet);
  };
  p.progress = [&](uint64_t done) { bar->set(done - std::min(done, left_before)); };
  hub::PullResult result;
  {
    const StopRequest stop(1);
    result = hub::pull(p, stop);
    bar.reset();
    if (result.stopped) {
      print_notice("stopped; what came stays, and the same command goes on with it");
      end_by(stop.signal());
    }
  }
  print_pulled(o, p, result);
}

}  // namespace

void add_pull(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("pull", "download a model from the Hugging Face hub");
  const auto o = std::make_shared<PullCommand>();
  command
      .add_option("repository", o->repository,
                  "OWNER/NAME, with :TAG behind it for the GGUF file of that quantisation, and @REVISION for a branch, "
                  "a tag or a commit; or the address of its page")
      ->required()
      ->type_name("REPO");
  command.add_option("--file", o->file, "the GGUF file to bring, of several; all its parts come")->type_name("NAME");
  command.add_option("--revision", o->revision, "branch, tag or commit; default: main")->type_name("REVISION");
  command.add_option("--to", o->folder, "the model's folder; default: OWNER/NAME in the store (see below)")
      ->type_name("DIR");
  command.add_option("--connections", o->connections, "downloads at a time, of files and of pieces of one")
      ->type_name("N")
      ->transform(whole_number(1, 64))
      ->capture_default_str();
  command.add_option("--retries", o->retries, "tries after one that failed, in a row without a byte between them")
      ->type_name("N")
      ->transform(whole_number(0, 1000))
      ->capture_default_str();
  command.add_option("--timeout", o->timeout, "seconds without a byte after which a connection is given up")
      ->type_name("SECONDS")
      ->transform(whole_number(1, 86400))
      ->capture_default_str();
  command.add_flag("--verify", o->verify, "read files that are there already and compare their digests");
  command.add_flag("--dry-run", o->dry_run, "say what would come, and how much, and bring nothing");
  command.add_flag("--json", o->json, "one JSON object instead of the model's path");
  command.add_flag("-q,--quiet", o->quiet, "no progress on stderr");
  command.footer(
      "The store is models/ in $FATHOM_HOME, else in $FATHOM_CACHE_DIR, or in fathom/ of $XDG_CACHE_HOME or ~/.cache. "
      "HF_TOKEN, HF_ENDPOINT, HF_HOME and https_proxy mean what they mean elsewhere.\n"
      "Examples:\n  fathom pull deepseek-ai/DeepSeek-V2-Lite-Chat\n"
      "  fathom pull someone/DeepSeek-V2-Lite-GGUF:Q4_K_M\n"
      "  fathom pull deepseek-ai/DeepSeek-V2-Lite@main --dry-run\n"
      "  fathom pull someone/DeepSeek-V2-Lite-GGUF --file DeepSeek-V2-Lite.Q8_0.gguf --to here");
  command.callback([=] { run_pull(*o); });
}

}  // namespace fathom
