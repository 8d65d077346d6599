#include "measure/peer.h"

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/file/file.h"
#include "base/json/json.h"
#include "base/machine/cpu.h"
#include "kernels/dispatch.h"
#include "measure/process.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

#if defined(__x86_64__)
constexpr std::string_view kMachine = "linux-x64";
#else
constexpr std::string_view kMachine = "linux-arm64";
#endif

// The node_modules that hold llama.cpp; empty when there are none.
fs::path find_modules(const fs::path& folder) {
  for (const fs::path& candidate : {folder, folder / "node_modules"})
    if (fs::is_directory(candidate / "@node-llama-cpp" / kMachine / "bins" / kMachine)) return candidate;
  return {};
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

fs::path library(const fs::path& folder, const std::string& start) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name == start + ".so" || (name.starts_with(start + ".") && name.find(".so") != std::string::npos))
      return entry.path();
  }
  throw_bad_input("{}: has no {}*.so; was the package installed whole? Try npm install node-llama-cpp again",
                  folder.string(), start);
}

void must_succeed(const std::vector<std::string>& command, const std::string& what) {
  const ProcessResult r = run_process(command);
  if (r.status == 0) return;
  size_t at = r.errors.find("error:");
  std::string why = at == std::string::npos ? last_line(r.errors) : r.errors.substr(at, r.errors.find('\n', at) - at);
  throw_bad_input("{}: {} fails with {}: {}", what, command[0], r.status, quoted_for_message(why, 300));
}

// With FATHOM_ISA forcing less than the CPU has, the peer gets the library of the same instruction set: like with like.
// Not the one for AMX: with it llama.cpp v0.5.0 aborts on latent attention ("GGML_ASSERT(*cur_backend_id != -1)"), for
// its AMX buffers do not take the projections of heads. The best without it has VNNI and bfloat16.
fs::path chosen_backends(const fs::path& folder) {
  const CpuFeatures cpu = detect_cpu();
  if (kernels().isa == Isa::avx2 && cpu.avx512) return folder / "libggml-cpu-haswell.so";
  return cpu.amx ? folder / "libggml-cpu-zen4.so" : folder;
}

}  // namespace

std::string PeerWork::text() const {
  return work.kind == WorkKind::prefill
             ? fmt::format("prefill:{}:{}:{}:{}", work.tokens, work.depth, flash_attention ? 1 : 0, ubatch)
             : fmt::format("decode:{}:{}:{}:{}", work.tokens, work.depth, flash_attention ? 1 : 0, work.sequences);
}

std::string PeerWork::settings() const {
  const std::string flash = flash_attention ? "flash attention" : "no flash attention";
  return work.kind == WorkKind::prefill ? fmt::format("{}, ubatch {}", flash, ubatch) : flash;
}

std::vector<PeerWork> peer_variants(const Work& work) {
  std::vector<PeerWork> variants;
  for (const int64_t ubatch : {int64_t{512}, int64_t{2048}})
    if (ubatch == 512 || (work.kind == WorkKind::prefill && work.tokens > 512))
      for (const bool flash : {true, false}) variants.push_back({work, flash, ubatch});
  return variants;
}

Peer::Peer(const std::string& given) {
  std::string folder = !given.empty() ? given : environment("FATHOM_PEER");
  if (folder.empty()) folder = ".";
  const fs::path modules = find_modules(folder);
  if (modules.empty())
    throw_bad_input(
        "{}: llama.cpp is not there (node_modules/@node-llama-cpp/{}); install it with `npm install --prefix {} "
        "--ignore-scripts node-llama-cpp`, or name its folder with --peer DIR or FATHOM_PEER",
        folder, kMachine, folder);
  backends_ = fs::canonical(modules / "@node-llama-cpp" / kMachine / "bins" / kMachine);
  const fs::path facts = backends_ / "_nlcBuildMetadata.json";
  const json::value metadata = parse_json(read_file(facts), facts.string());
  try {
    release_ = metadata.at("buildOptions").at("llamaCpp").at("release").as_string();
  } catch (const std::exception&) {
    throw_bad_input("{}: does not say buildOptions.llamaCpp.release; try a newer node-llama-cpp", facts.string());
  }
  runner_ =
      compile(modules, modules.filename() == "node_modules" ? modules.parent_path() / ".fathom" : modules / ".fathom");
}

fs::path Peer::compile(const fs::path& modules, const fs::path& cache) const {
  const fs::path sources = cache / fmt::format("llama.cpp-{}", release_), code = cache / "llama_runner.c",
                 program = cache / fmt::format("llama_runner-{}", release_);
  if (fs::exists(program) && fs::exists(code) && read_file(code) == kLlamaRunnerSource) return program;
  fs::create_directories(cache);
  if (!fs::exists(sources / "include" / "llama.h")) {
    fs::remove_all(sources);
    const fs::path bundle = modules / "node-llama-cpp" / "llama" / "gitRelease.bundle";
    const std::string what = fmt::format("the headers of llama.cpp {} in {}", release_, bundle.string());
    must_succeed({"git", "clone", "--quiet", "--no-checkout", bundle.string(), sources.string()}, what);
    must_succeed({"git", "-C", sources.string(), "checkout", "--quiet", "HEAD", "--", "include", "ggml/include"}, what);
  }
  FileWriter writer(code);
  writer.write(std::string_view(kLlamaRunnerSource));
  writer.commit();
  std::vector<std::string> command = {environment("CC").empty() ? "cc" : environment("CC"), "-std=gnu11", "-O2"};
  for (const char* headers : {"include", "ggml/include"}) command.push_back("-I" + (sources / headers).string());
  const std::string partial = program.string() + ".partial";
  command.insert(command.end(), {"-o", partial, code.string()});
  for (const char* name : {"libllama", "libggml", "libggml-base"}) command.push_back(library(backends_, name).string());
  command.push_back("-Wl,-rpath," + backends_.string());
  must_succeed(command, fmt::format("the runner for llama.cpp {}", release_));
  fs::rename(partial, program);
  return program;
}

PeerRun Peer::run(const fs::path& model, int threads, Fill fill, const std::vector<PeerWork>& works,
                  const std::function<void(const std::string&)>& on_work) const {
  std::vector<std::string> command = {runner_.string(), chosen_backends(backends_).string(), model.string(),
                                      std::to_string(threads), fill == Fill::random ? "copies" : "prefill"};
  for (const PeerWork& w : works) command.push_back(w.text());
  PeerRun run;
  std::string failure;
  bool done = false;
  const auto number = [](const std::string& text) { return std::strtod(text.c_str(), nullptr); };
  const ProcessResult r = run_process(command, [&](const std::string& line) {
    const size_t space = std::min(line.find(' '), line.size());
    const std::string key = line.substr(0, space), value = space < line.size() ? line.substr(space + 1) : "";
    if (key == "system") run.system = value;
    if (key == "load") {
      run.load_seconds = number(value);
      if (on_work) on_work(describe(works.front().work));
    }
    if (key == "peak") run.peak_memory_bytes = number(value);
    if (key == "error") failure = value;
    if (key == "done") done = true;
    if (run.seconds.size() < works.size() && key == works[run.seconds.size()].text()) {
      run.seconds.push_back(number(value));
      if (run.seconds.size() < works.size() && on_work) on_work(describe(works[run.seconds.size()].work));
    }
  });
  if (r.status != 0 || !done || run.seconds.size() != works.size())
    throw_bad_input("{}: llama.cpp {} ends with {}: {}{}", model.string(), release_, r.status,
                    failure.empty() ? "" : failure + "; ", quoted_for_message(last_line(r.errors), 300));
  if (kernels().isa != Isa::ref && run.system.find("AVX2 = 1") == std::string::npos && kMachine == "linux-x64")
    throw_bad_input("llama.cpp {} runs without AVX2 ({}): no fair peer of {} kernels; is libggml-cpu-haswell.so in {}?",
                    release_, run.system, name(kernels().isa), backends_.string());
  return run;
}

}  // namespace fathom
