#include <algorithm>
#include <array>
#include <fstream>

#include "base/machine/cpu.h"
#include "base/machine/stripes.h"
#include "base/progress.h"
#include "kernels/dispatch.h"
#include "measure/bench.h"
#include "model/attention/int16/mla_int16.h"

namespace fathom {
namespace {

// Bytes of this process that lie in huge pages, mapped files included; nothing when the system does not say.
std::optional<double> huge_page_bytes() {
  std::ifstream in("/proc/self/smaps_rollup");
  std::optional<double> bytes;
  for (std::string key; in >> key;) {
    double kilobytes = 0;
    if ((key == "AnonHugePages:" || key == "FilePmdMapped:") && in >> kilobytes)
      bytes = bytes.value_or(0) + kilobytes * 1024;
  }
  return bytes;
}

std::string huge_page_setting() {
  std::ifstream in("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string text;
  std::getline(in, text);
  const size_t open = text.find('['), close = text.find(']');
  return open == std::string::npos || close == std::string::npos ? "not there"
                                                                 : text.substr(open + 1, close - open - 1);
}

// The form that one work takes, and where the other begins.
std::string form_of(const LoadedEngine& loaded, const Work& w, bool fast) {
  const Engine& engine = loaded.engine;
  const ModelConfig& config = engine.config();
  const MlaCosts& costs = engine.costs();
  const auto* latent = std::get_if<MlaWeights>(&loaded.weights.weights().layers.front().self_attn);
  const bool packed = latent != nullptr && latent->fold_key.packed != nullptr;
  const int64_t n = w.kind == WorkKind::prefill ? std::min(engine.chunk_tokens(), w.tokens) : 1;
  const MlaForm form =
      fast ? cheaper_int16_form(config, costs, packed, w.depth, n) : cheaper_mla_form(config, {w.depth, n});
  std::string text =
      fmt::format("attention of {}: {}, which {} for {} new after {}", describe(w),
                  form == MlaForm::naive ? "naive, keys and values expanded" : "absorbed, heads folded into the latent",
                  fast ? "takes less time" : "costs fewer multiply-adds", n, w.depth);
  if (fast)
    text += fmt::format(" (absorbed up to {} new tokens)",
                        most_absorbed(config, costs, packed, w.depth, engine.chunk_tokens()));
  return text;
}

// Where the costs come from, why no others, and what they are.
std::string costs_of_attention(const MachineCosts& costs, const LoadedEngineOptions& options) {
  std::string text = "costs of attention: " + describe_source(costs);
  if (costs.source == MachineCosts::Source::built_in)
    text += options.tuning == Tuning::off ? " (tuning is off)"
            : kernels().isa == Isa::ref   ? " (reference kernels are not measured)"
                                          : " (measured for models of 1 GiB and more)";
  for (const MlaCostName& c : kMlaCosts)
    text += fmt::format("{} {} {:g}", &c == kMlaCosts.data() ? ":" : ",", c.name, costs.mla.*c.cost);
  return text + "; a multiply-add of the absorbed form is 1";
}

std::string memory_nodes(const NumaTopology& numa, const std::vector<int>& threads) {
  constexpr std::array<const char*, 3> kSources = {"", " (FATHOM_NUMA=off)", " (pretended: FATHOM_NUMA)"};
  std::string cpus, shares;
  for (size_t i = 0; i < threads.size() && i < numa.nodes.size(); ++i) {
    cpus += fmt::format("{}{}", i == 0 ? "" : ", ", numa.nodes[i].size());
    shares += fmt::format("{}{}", i == 0 ? "" : ", ", threads[i]);
  }
  std::string text = fmt::format("memory nodes: {}{}", threads.size(), kSources[static_cast<size_t>(numa.source)]);
  if (threads.size() > 1) text += fmt::format("; CPUs of each: {}; threads on each: {}", cpus, shares);
  return text;
}

std::string placement(const WeightStore& weights, int64_t nodes_in_use) {
  if (nodes_in_use < 2) return "placement of weights: none, all threads are on one node";
  if (weights.packed_file() != nullptr)
    return "placement of weights: none, pages of a mapped file lie where the system has put them; packed in memory "
           "they are placed (--weights packed)";
  if (weights.packed_bytes() == 0)
    return "placement of weights: none, they are used in the model's file, whose pages lie where the system has put "
           "them";
  return fmt::format(
      "placement of weights: stripes of {} MB in turns over {} nodes; a thread takes products of its own node first",
      kStripe >> 20, nodes_in_use);
}

}  // namespace

std::vector<std::string> explain(LoadedEngine& loaded, const BenchOptions& o) {
  Engine& engine = loaded.engine;
  const CacheLayout& layout = engine.cache().layout();
  const ModelConfig& config = engine.config();
  std::vector<std::string> lines;
  lines.push_back(fmt::format("kernels: {} (best of this CPU, or FATHOM_ISA), products of training shapes by {}",
                              name(kernels().isa), gemm_kernel(MatmulPrecision::f32).name));
  const bool fast = o.engine.engine.numerics.is_quantised();
  lines.push_back(
      fast ? "arithmetic: fast (packed weights by activations of 8 bits or bfloat16, attention in 16-bit integers)"
           : "arithmetic: exact (float32 operands)");
  lines.push_back(
      loaded.weights.packed_bytes() > 0
          ? fmt::format("weights: {} {} strips of rows for these kernels",
                        human_bytes(static_cast<double>(loaded.weights.packed_bytes())),
                        loaded.weights.packed_file() != nullptr ? "mapped from a cache file of" : "copied into")
      : loaded.weights.copied_bytes() > 0
          ? fmt::format("weights: {} copied into huge pages as they are, for their types are not packed",
                        human_bytes(static_cast<double>(loaded.weights.copied_bytes())))
          : "weights: used where they lie in the file (--weights, --arithmetic or memory)");
  const std::vector<int> threads = threads_per_node(o.numa, engine.threads());
  lines.push_back(memory_nodes(o.numa, threads));
  lines.push_back(
      placement(loaded.weights, std::count_if(threads.begin(), threads.end(), [](int n) { return n > 0; })));
  lines.push_back(fmt::format("cache: {}, {} numbers a row, {} a token over {} layers",
                              kCacheTypeNames[static_cast<size_t>(layout.type)], layout.width,
                              human_bytes(static_cast<double>(layout.bytes_per_token())), layout.layers));
  lines.push_back(fmt::format("prompts run in chunks of {} tokens", engine.chunk_tokens()));
  if (config.uses_mla() && fast) lines.push_back(costs_of_attention(loaded.costs, o.engine));
  if (config.uses_mla())
    for (const Work& w : o.works) lines.push_back(form_of(loaded, w, fast));
  if (const auto bytes = huge_page_bytes())
    lines.push_back(
        fmt::format("huge pages: {} (transparent huge pages: {})", human_bytes(*bytes), huge_page_setting()));
  if (config.n_routed_experts > 0)
    lines.push_back(
        "bytes of routed experts: expected number of distinct ones for tokens that choose independently and evenly");
  return lines;
}

}  // namespace fathom
