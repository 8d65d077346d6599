#include "base/machine/numa.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <numeric>
#include <thread>

#include "base/error.h"
#include "base/text/suggest.h"

namespace fathom {
namespace {

constexpr size_t kMaxListBytes = 1 << 16;  // every second of kMaxListed numbers takes less

// The list in a file. Files of sysfs do not know their size (read_file).
std::optional<std::vector<int>> read_cpu_list(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text(kMaxListBytes + 1, '\0');
  if (!in.read(text.data(), static_cast<std::streamsize>(text.size())) && !in.eof()) return std::nullopt;
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kMaxListBytes) return std::nullopt;
  return parse_cpu_list(text);
}

// Nothing where system_numa says that there is one node.
std::optional<std::vector<std::vector<int>>> read_nodes(std::span<const int> usable, const std::string& sysfs) {
  const std::string folder = sysfs + "/devices/system/node/";
  const auto online = read_cpu_list(folder + "online");
  if (!online) return std::nullopt;
  std::vector<std::vector<int>> nodes;
  std::vector<int> all;
  for (const int id : *online) {
    const auto cpus = read_cpu_list(folder + "node" + std::to_string(id) + "/cpulist");
    if (!cpus) return std::nullopt;
    std::vector<int> near;
    std::set_intersection(cpus->begin(), cpus->end(), usable.begin(), usable.end(), std::back_inserter(near));
    if (near.empty()) continue;
    all.insert(all.end(), near.begin(), near.end());
    nodes.push_back(std::move(near));
  }
  std::sort(all.begin(), all.end());
  if (!std::equal(all.begin(), all.end(), usable.begin(), usable.end())) return std::nullopt;
  return nodes;
}

NumaTopology pretended_numa(std::span<const int> usable, int n) {
  NumaTopology numa{.source = NumaTopology::Source::pretended};
  for (size_t i = 0, nodes = static_cast<size_t>(n); i < nodes; ++i) {
    const size_t begin = usable.size() * i / nodes, end = usable.size() * (i + 1) / nodes;
    const auto group = usable.subspan(begin, std::max<size_t>(1, end - begin));
    numa.nodes.emplace_back(group.begin(), group.end());
  }
  return numa;
}

}  // namespace

std::vector<int> usable_cpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0)
    for (int i = 0; i < CPU_SETSIZE; ++i)
      if (CPU_ISSET(i, &set)) cpus.push_back(i);
  if (cpus.empty()) {
    cpus.resize(std::max(1u, std::thread::hardware_concurrency()));
    std::iota(cpus.begin(), cpus.end(), 0);
  }
  return cpus;
}

void bind_thread(std::span<const int> cpus) noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus)
    if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  ::sched_setaffinity(0, sizeof set, &set);
}

std::optional<std::vector<int>> parse_cpu_list(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  std::vector<int> cpus;
  if (text.empty()) return cpus;
  const char *at = text.data(), *end = at + text.size();
  unsigned least = 0;  // that may come next
  const auto number = [&]() -> std::optional<unsigned> {
    unsigned value = 0;
    const auto [stop, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < least || value >= kMaxListed) return std::nullopt;
    at = stop;
    least = value + 1;
    return value;
  };
  for (;; ++at) {
    const auto first = number();
    if (!first) return std::nullopt;
    unsigned last = *first;
    if (at != end && *at == '-') {
      ++at;
      const auto second = number();
      if (!second) return std::nullopt;
      last = *second;
    }
    for (unsigned i = *first; i <= last; ++i) cpus.push_back(static_cast<int>(i));
    if (at == end) return cpus;
    if (*at != ',') return std::nullopt;
  }
}

NumaTopology system_numa(std::span<const int> usable, const std::string& sysfs) {
  NumaTopology numa;
  if (auto nodes = read_nodes(usable, sysfs))
    numa.nodes = std::move(*nodes);
  else
    numa.nodes.emplace_back(usable.begin(), usable.end());
  return numa;
}

NumaTopology choose_numa(std::optional<std::string_view> setting, std::span<const int> usable,
                         const std::string& sysfs) {
  if (!setting || setting->empty() || equal_in_any_case(*setting, "auto")) return system_numa(usable, sysfs);
  if (equal_in_any_case(*setting, "off")) {
    NumaTopology numa = pretended_numa(usable, 1);
    numa.source = NumaTopology::Source::off;
    return numa;
  }
  int n = 0;
  const auto [stop, error] = std::from_chars(setting->data(), setting->data() + setting->size(), n);
  if (error != std::errc() || stop != setting->data() + setting->size() || n < 1 || n > kMaxPretended)
    throw_bad_input(
        "FATHOM_NUMA={}: it is auto, off, or a number of memory nodes to pretend (1 to {}), or not set at all",
        quoted_for_message(*setting), kMaxPretended);
  return pretended_numa(usable, n);
}

std::vector<int> threads_per_node(const NumaTopology& numa, int n_threads) {
  if (numa.nodes.size() < 2) return {n_threads};
  size_t n_cpus = 0;
  for (const auto& cpus : numa.nodes) n_cpus += cpus.size();
  std::vector<int> threads(numa.nodes.size(), 0);
  for (size_t t = 0, n = static_cast<size_t>(n_threads); t < n; ++t) {
    size_t node = 0, cpu = t * n_cpus / n;
    for (; cpu >= numa.nodes[node].size(); ++node) cpu -= numa.nodes[node].size();
    ++threads[node];
  }
  return threads;
}

}  // namespace fathom
