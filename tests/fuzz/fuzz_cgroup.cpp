// container_limits on arbitrary text in the place of every file that it may read: limits are numbers in their range.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "base/file/container.h"

// The input is cut at '\f' into /proc/self/cgroup, /proc/self/mountinfo, and what every other file holds.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fathom;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto take = [&] {
    const std::string_view part = rest.substr(0, rest.find('\f'));
    rest.remove_prefix(part.size() < rest.size() ? part.size() + 1 : rest.size());
    return std::string(part);
  };
  const std::string groups = take(), mounts = take(), file(rest);
  size_t n_read = 0;
  const ContainerLimits limits = container_limits([&](const std::string& path) -> std::optional<std::string> {
    ++n_read;
    if (path == "/proc/self/cgroup") return groups;
    if (path == "/proc/self/mountinfo") return mounts;
    check(path.starts_with('/'), "only files of mounted hierarchies are read");
    return file;
  });
  check(!limits.free_memory || (limits.memory && *limits.free_memory <= *limits.memory),
        "no more is free than there is");
  check(!limits.cpus || *limits.cpus > 0, "a share of the CPUs is positive");
  check(usable_threads(8, limits) >= 1 && usable_threads(8, limits) <= 8, "threads are in their range");
  return 0;
}
