// Nodes of memory (NUMA): which CPUs are near which part of it. A thread that reads the memory of another node waits
// longer and shares the link between the two with all others.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

struct NumaTopology {
  enum class Source : uint8_t { system, off, pretended };
  std::vector<std::vector<int>> nodes = {};  // CPUs of each, at least one; fewer than two nodes: nothing is bound
  Source source = Source::system;
};

// The CPUs that the calling thread may run on, ascending; never empty.
std::vector<int> usable_cpus();

// Makes the calling thread run on these CPUs only. Only advice: a refusal is no error.
void bind_thread(std::span<const int> cpus) noexcept;

// A list as sysfs has it: "0-3,8,10-11", every number greater than the one before and below kMaxListed, a line feed at
// the end or none. An empty one has no numbers. Nothing for any other text.
inline constexpr int kMaxListed = 8192;
std::optional<std::vector<int>> parse_cpu_list(std::string_view text);

// The nodes that <sysfs>/devices/system/node lists, with those of their CPUs that are in `usable` (ascending); nodes
// without any are left out. Where the files are absent, are no such lists or have not each usable CPU once: one node.
NumaTopology system_numa(std::span<const int> usable, const std::string& sysfs = "/sys");

// What `setting`, the value of FATHOM_NUMA, makes of it: "auto", "", or nullopt: system_numa(). "off": one node. A
// number from 1 to kMaxPretended: so many nodes, the usable CPUs (at least one) cut into groups; with more nodes than
// CPUs they share them. bad_input for anything else.
inline constexpr int kMaxPretended = 64;
NumaTopology choose_numa(std::optional<std::string_view> setting, std::span<const int> usable,
                         const std::string& sysfs = "/sys");

// How many of n threads belong to each node, in proportion to its CPUs: from the first node on, so that a node may have
// none. {n} with fewer than two nodes.
std::vector<int> threads_per_node(const NumaTopology& numa, int n_threads);

}  // namespace fathom
