// What this process may take of the machine: limits that containers, service managers and batch systems set by control
// groups (cgroups, v1 and v2, https://docs.kernel.org/admin-guide/cgroup-v2.html).
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace fathom {

// The tightest of the group that the process is in and of all groups around it that can be seen. Absent: no limit.
struct ContainerLimits {
  std::optional<uint64_t> memory;       // bytes: the group is killed (max), or slowed until it stands (high), beyond
  std::optional<uint64_t> free_memory;  // bytes below the limit, cached files counted as free: they are given back
  std::optional<double> cpus;           // time of CPUs that a second may cost
};

// The whole text of the file of that path; nothing when it cannot be read.
using FileText = std::function<std::optional<std::string>(const std::string& path)>;

// From /proc/self/cgroup, /proc/self/mountinfo and the files of the groups. What is missing or is not what the kernel
// writes sets no limit.
ContainerLimits container_limits(const FileText& text_of);
// With the files below `root`.
ContainerLimits container_limits(const std::string& root = "");

// Bytes that can still be taken without swapping: what the system says (MemAvailable), or the container's free memory
// if that is less; 0 when neither says.
uint64_t available_memory_bytes(const std::string& root = "");

// So many threads as run at once: n_cpus, or the container's share of them rounded up if that is less.
int usable_threads(int n_cpus, const ContainerLimits& limits) noexcept;

}  // namespace fathom
