#include "base/file/container.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <string_view>
#include <vector>

namespace fathom {
namespace {

constexpr size_t kMaxFileBytes = size_t{8} << 20;  // a machine of many containers has thousands of mounts
constexpr size_t kMaxLevels = 64, kMaxGroups = 32, kMaxMounts = 512;  // far beyond any; bounds the work

// Calls fn with each part between separators; an end without one counts.
template <class Fn>
void for_each_part(std::string_view text, char separator, Fn&& fn) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    fn(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// The part before the separator, which is taken off the text with it; nothing when there is none.
std::optional<std::string_view> take_until(std::string_view& text, char separator) {
  const size_t end = text.find(separator);
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(end + 1);
  return part;
}

bool lists(std::string_view list, std::string_view word) {
  bool found = false;
  for_each_part(list, ',', [&](std::string_view part) { found = found || part == word; });
  return found;
}

// Decimal and nothing else, but for a line end. "max" and "-1", which mean no limit, are no numbers.
std::optional<uint64_t> number(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  uint64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  return value;
}

// Of a list of "key value" lines.
uint64_t number_of_key(std::string_view text, std::string_view key) {
  uint64_t found = 0;
  for_each_part(text, '\n', [&](std::string_view line) {
    const auto name = take_until(line, ' ');
    if (name && *name == key) found = number(line).value_or(0);
  });
  return found;
}

// The group of one hierarchy. v2 has an empty list of controllers.
struct Membership {
  std::string controllers, path;
};

// Lines "4:memory:/docker/1f", "0::/user.slice"; a path may have colons.
std::vector<Membership> parse_memberships(std::string_view text) {
  std::vector<Membership> out;
  for_each_part(text, '\n', [&](std::string_view line) {
    const auto id = take_until(line, ':');
    const auto controllers = id ? take_until(line, ':') : std::nullopt;
    if (out.size() < kMaxGroups && controllers && number(*id) && line.starts_with('/'))
      out.push_back({std::string(*controllers), std::string(line)});
  });
  return out;
}

// Space, tab, line end and backslash of a path stand as \040 ... in mountinfo.
std::string unescaped(std::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
                        is_octal(text[i + 3]);
    if (!escape) {
      out += text[i];
      continue;
    }
    out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
    i += 3;
  }
  return out;
}

// A hierarchy that is mounted: `root` of its groups is seen at `point`.
struct Mount {
  bool v2;
  std::string root, point, controllers;
};

// Lines "31 23 0:28 /root /point options optional... - type source controllers". proc_pid_mountinfo(5).
std::vector<Mount> parse_mounts(std::string_view text) {
  std::vector<Mount> out;
  for_each_part(text, '\n', [&](std::string_view line) {
    const size_t middle = line.find(" - ");
    if (middle == std::string_view::npos) return;
    std::vector<std::string_view> left, right;
    for_each_part(line.substr(0, middle), ' ', [&](std::string_view part) { left.push_back(part); });
    for_each_part(line.substr(middle + 3), ' ', [&](std::string_view part) { right.push_back(part); });
    if (left.size() < 6 || right.size() < 3 || !left[4].starts_with('/')) return;
    if (out.size() == kMaxMounts || (right[0] != "cgroup" && right[0] != "cgroup2")) return;
    out.push_back({right[0] == "cgroup2", unescaped(left[3]), unescaped(left[4]), std::string(right[2])});
  });
  return out;
}

// The folders of a group and of those around it, from the inside outwards. A group that lies outside of what is mounted
// (a container without a namespace of its own): the outermost folder, which then is the container's.
std::vector<std::string> folders_of(const Mount& mount, std::string path) {
  const std::string_view deleted = " (deleted)";
  if (path.ends_with(deleted)) path.resize(path.size() - deleted.size());
  std::string_view inside = path;
  const bool everything = mount.root == "/";
  const bool within = everything || path == mount.root || path.starts_with(mount.root + "/");
  inside.remove_prefix(within && !everything ? mount.root.size() : 0);
  if (!within || path.starts_with("/..")) inside = "";
  while (inside.ends_with('/')) inside.remove_suffix(1);
  std::vector<std::string> out;
  for (; !inside.empty() && out.size() < kMaxLevels; inside = inside.substr(0, inside.rfind('/')))
    out.push_back(mount.point + std::string(inside) + "/");
  out.push_back(mount.point + "/");
  return out;
}

template <class T>
void tighten(std::optional<T>& limit, std::optional<T> other) {
  if (other) limit = limit ? std::min(*limit, *other) : *other;
}

// Reads the files of groups and keeps the tightest limits.
class Reader {
 public:
  explicit Reader(const FileText& text_of) : text_of_(text_of) {}

  void read(const Mount& mount, const std::string& folder, bool memory, bool cpu) {
    if (memory && mount.v2)
      read_memory(folder, {"memory.max", "memory.high"}, "memory.current", "");
    else if (memory)
      read_memory(folder, {"memory.limit_in_bytes"}, "memory.usage_in_bytes", "total_");
    if (cpu && mount.v2)
      read_cpu_max(folder);
    else if (cpu)
      set_cpus(number_in(folder + "cpu.cfs_quota_us"), number_in(folder + "cpu.cfs_period_us"));
  }
  const ContainerLimits& limits() const { return limits_; }

 private:
  std::optional<uint64_t> number_in(const std::string& path) const {
    const auto text = text_of_(path);
    return text ? number(*text) : std::nullopt;
  }

  void read_memory(const std::string& folder, std::initializer_list<const char*> names, const char* usage,
                   const std::string& prefix) {
    std::optional<uint64_t> limit;
    for (const char* name : names) tighten(limit, number_in(folder + name));
    if (!limit || *limit >= uint64_t{1} << 62) return;  // v1 has a number for "none"
    tighten(limits_.memory, limit);
    uint64_t used = number_in(folder + usage).value_or(0);
    const std::string stat = text_of_(folder + "memory.stat").value_or("");
    for (const char* key : {"active_file", "inactive_file", "slab_reclaimable"})
      used -= std::min(used, number_of_key(stat, prefix + key));
    tighten(limits_.free_memory, std::optional(*limit - std::min(*limit, used)));
  }

  void read_cpu_max(const std::string& folder) {  // "QUOTA PERIOD"
    const auto text = text_of_(folder + "cpu.max");
    if (!text) return;
    std::string_view period = *text;
    if (const auto quota = take_until(period, ' ')) set_cpus(number(*quota), number(period));
  }

  void set_cpus(std::optional<uint64_t> quota, std::optional<uint64_t> period) {
    if (quota && period && *quota > 0 && *period > 0)
      tighten(limits_.cpus, std::optional(static_cast<double>(*quota) / static_cast<double>(*period)));
  }

  const FileText& text_of_;
  ContainerLimits limits_;
};

std::optional<std::string> text_of_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text;
  for (char c; text.size() <= kMaxFileBytes && in.get(c);) text += c;
  if (in.bad() || !in.eof()) return std::nullopt;
  return text;
}

}  // namespace

ContainerLimits container_limits(const FileText& text_of) {
  const auto groups = parse_memberships(text_of("/proc/self/cgroup").value_or(""));
  const auto mounts = parse_mounts(text_of("/proc/self/mountinfo").value_or(""));
  Reader reader(text_of);
  for (const Membership& group : groups)
    for (const Mount& mount : mounts) {
      const auto has = [&](std::string_view controller) {
        return mount.v2 || (lists(group.controllers, controller) && lists(mount.controllers, controller));
      };
      if (mount.v2 != group.controllers.empty() || !(has("memory") || has("cpu"))) continue;
      for (const std::string& folder : folders_of(mount, group.path))
        reader.read(mount, folder, has("memory"), has("cpu"));
    }
  return reader.limits();
}

ContainerLimits container_limits(const std::string& root) {
  return container_limits([&](const std::string& path) { return text_of_file(root + path); });
}

uint64_t available_memory_bytes(const std::string& root) {
  std::optional<uint64_t> available = container_limits(root).free_memory;
  for_each_part(text_of_file(root + "/proc/meminfo").value_or(""), '\n', [&](std::string_view line) {
    constexpr std::string_view kKey = "MemAvailable:", kUnit = " kB";
    if (!line.starts_with(kKey) || !line.ends_with(kUnit)) return;
    line = line.substr(kKey.size(), line.size() - kKey.size() - kUnit.size());
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (const auto kilobytes = number(line)) tighten(available, std::optional(*kilobytes * 1024));
  });
  return available.value_or(0);
}

int usable_threads(int n_cpus, const ContainerLimits& limits) noexcept {
  if (!limits.cpus || *limits.cpus >= n_cpus) return n_cpus;
  return std::max(1, static_cast<int>(std::ceil(*limits.cpus)));
}

}  // namespace fathom
