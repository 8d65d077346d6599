#include "base/file/container.h"

#include <gtest/gtest.h>

#include <map>

#include "base/machine/threads.h"
#include "support/files.h"

namespace fathom {
namespace {

// The files of a machine, by path.
using Files = std::map<std::string, std::string>;

ContainerLimits limits_of(const Files& files) {
  return container_limits([&](const std::string& path) {
    const auto found = files.find(path);
    return found == files.end() ? std::nullopt : std::optional(found->second);
  });
}

constexpr const char* kUnlimitedV1 = "9223372036854771712\n";
const std::string kUnified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const std::string kDisk = "23 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n";

TEST(Container, TheTightestOfAllLevelsHolds) {
  Files files = {{"/proc/self/cgroup", "0::/user.slice/run.scope\n"},
                 {"/proc/self/mountinfo", kDisk + kUnified},
                 {"/sys/fs/cgroup/user.slice/run.scope/memory.max", "max\n"},
                 {"/sys/fs/cgroup/user.slice/run.scope/cpu.max", "300000 100000\n"},
                 {"/sys/fs/cgroup/user.slice/memory.max", "4000\n"},
                 {"/sys/fs/cgroup/user.slice/memory.current", "3500\n"},
                 {"/sys/fs/cgroup/user.slice/memory.stat",
                  "anon 1000\nfile 2600\nactive_file 500\ninactive_file 1000\nslab_reclaimable 7\n"},
                 {"/sys/fs/cgroup/user.slice/cpu.max", "max 100000\n"}};
  EXPECT_EQ(limits_of(files).memory, 4000u);
  EXPECT_EQ(limits_of(files).free_memory, 4000u - (3500 - 1507));
  EXPECT_EQ(limits_of(files).cpus, 3.0);
  files["/sys/fs/cgroup/user.slice/memory.high"] = "3600\n";
  files["/sys/fs/cgroup/user.slice/cpu.max"] = "50000 100000\n";
  EXPECT_EQ(limits_of(files).memory, 3600u) << "beyond memory.high a group stands still";
  EXPECT_EQ(limits_of(files).cpus, 0.5);
  files["/sys/fs/cgroup/user.slice/run.scope/memory.max"] = "100\n";
  files["/sys/fs/cgroup/user.slice/run.scope/memory.current"] = "120\n";
  EXPECT_EQ(limits_of(files).memory, 100u);
  EXPECT_EQ(limits_of(files).free_memory, 0u);
}

TEST(Container, TheFirstVersionHasAHierarchyForEachController) {
  const std::string mounts = kDisk +
                             "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                             "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
                             "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                             "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
  Files files = {
      {"/proc/self/cgroup", "4:memory:/a/b\n3:cpuset:/a\n2:cpu,cpuacct:/c\n0::/\n"},
      {"/proc/self/mountinfo", mounts},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes", kUnlimitedV1},
      {"/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000\n"},
      {"/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "700\n"},
      {"/sys/fs/cgroup/memory/a/memory.stat", "active_file 1\ntotal_active_file 200\ntotal_inactive_file 50\n"},
      {"/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", kUnlimitedV1},
      {"/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "150000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us", "100000\n"}};
  EXPECT_EQ(limits_of(files).memory, 1000u);
  EXPECT_EQ(limits_of(files).free_memory, 550u);
  EXPECT_EQ(limits_of(files).cpus, 1.5);
  files["/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us"] = "-1\n";
  files["/sys/fs/cgroup/memory/a/memory.limit_in_bytes"] = kUnlimitedV1;
  EXPECT_FALSE(limits_of(files).memory || limits_of(files).free_memory || limits_of(files).cpus);
}

TEST(Container, InsideAContainerTheGroupIsWhatIsMounted) {
  const std::string limit = "/sys/fs/cgroup/memory/memory.limit_in_bytes", path = "/docker/1f2e";
  const auto limit_with = [&](const std::string& group, const std::string& root) {
    return limits_of({{"/proc/self/cgroup", "4:memory:" + group + "\n"},
                      {"/proc/self/mountinfo",
                       "35 31 0:32 " + root + " /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"},
                      {limit, "1000\n"},
                      {"/sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "500\n"},
                      {"/sys/fs/cgroup/memory/docker/1f2e/memory.limit_in_bytes", "2000\n"}})
        .memory;
  };
  EXPECT_EQ(limit_with(path, path), 1000u) << "no namespace of its own: the mount's root is the group";
  EXPECT_EQ(limit_with(path + "/inner", path), 500u);
  EXPECT_EQ(limit_with("/", "/"), 1000u) << "a namespace: the group is called /";
  EXPECT_EQ(limit_with("/inner", "/"), 500u);
  EXPECT_EQ(limit_with("/kubepods/pod7", path), 1000u) << "outside of what can be seen";
  EXPECT_EQ(limit_with("/../../elsewhere", "/"), 1000u);
  EXPECT_EQ(limit_with("/docker/1f2efg", path), 1000u) << "another group, whose name begins alike";
  EXPECT_EQ(limit_with("/gone (deleted)", "/"), 1000u);
}

TEST(Container, PathsOfMountsAndGroupsMayHaveAnyCharacters) {
  const Files files = {{"/proc/self/cgroup", "0::/a:b c\n"},
                       {"/proc/self/mountinfo", "35 31 0:32 / /my\\040groups\\134x rw - cgroup2 none rw\n"},
                       {"/my groups\\x/a:b c/memory.max", "77\n"}};
  EXPECT_EQ(limits_of(files).memory, 77u);
}

TEST(Container, WhatTheKernelDoesNotWriteSetsNoLimit) {
  EXPECT_FALSE(limits_of({}).memory || limits_of({}).cpus);
  for (const char* bad : {"", "\n", "x", "12x\n", "-5\n", "+5\n", " 5\n", "5 \n", "0x10\n", "1e3\n",
                          "18446744073709551616\n", "5\n\n", "5\n6\n", "MAX\n"}) {
    const Files files = {
        {"/proc/self/cgroup", "0::/\n"}, {"/proc/self/mountinfo", kUnified}, {"/sys/fs/cgroup/memory.max", bad}};
    EXPECT_FALSE(limits_of(files).memory) << bad;
  }
  for (const char* bad : {"", "max 100000", "100000", "100000 ", "0 100000", "100000 0", "-1 100000", "1 2 3"}) {
    const Files files = {
        {"/proc/self/cgroup", "0::/\n"}, {"/proc/self/mountinfo", kUnified}, {"/sys/fs/cgroup/cpu.max", bad}};
    EXPECT_FALSE(limits_of(files).cpus) << bad;
  }
  for (const char* bad : {"0::", "0:/", "x::/", "::/", "0::relative", "\n\n", "0"})
    EXPECT_FALSE(
        limits_of(
            {{"/proc/self/cgroup", bad}, {"/proc/self/mountinfo", kUnified}, {"/sys/fs/cgroup/memory.max", "1\n"}})
            .memory)
        << bad;
  for (const char* bad :
       {"30 23 0:26 / /sys/fs/cgroup rw cgroup2 cgroup2 rw\n", "- cgroup2 cgroup2 rw\n", " - \n",
        "30 23 0:26 / sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2\n",
        "30 23 0:26 / /sys/fs/cgroup rw - tmpfs cgroup2 rw\n"})
    EXPECT_FALSE(
        limits_of(
            {{"/proc/self/cgroup", "0::/\n"}, {"/proc/self/mountinfo", bad}, {"/sys/fs/cgroup/memory.max", "1\n"}})
            .memory)
        << bad;
}

TEST(Container, FilesAreReadBelowAFolder) {
  const test::TempFolder root;
  std::filesystem::create_directories(root / "proc/self");
  std::filesystem::create_directories(root / "sys/fs/cgroup");
  EXPECT_EQ(available_memory_bytes(root.path()), 0u);
  test::write_text(root / "proc/meminfo",
                   "MemTotal:       16000 kB\nMemFree:         100 kB\nMemAvailable:    1000 kB\n");
  EXPECT_EQ(available_memory_bytes(root.path()), 1024000u);
  test::write_text(root / "proc/self/cgroup", "0::/\n");
  test::write_text(root / "proc/self/mountinfo", kUnified);
  test::write_text(root / "sys/fs/cgroup/memory.max", "500000\n");
  test::write_text(root / "sys/fs/cgroup/memory.current", "100000\n");
  EXPECT_EQ(available_memory_bytes(root.path()), 400000u);
  test::write_text(root / "sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(available_memory_bytes(root.path()), 1024000u);
  test::write_text(root / "proc/meminfo", "MemAvailable:    lots kB\n");
  EXPECT_EQ(available_memory_bytes(root.path()), 0u);
}

TEST(Container, ThreadsAreTheQuotaRoundedUpButNeverMoreThanCpus) {
  EXPECT_EQ(usable_threads(8, {}), 8);
  for (const auto& [quota, threads] : {std::pair{0.1, 1}, {1.0, 1}, {1.01, 2}, {2.5, 3}, {8.0, 8}, {1e9, 8}})
    EXPECT_EQ(usable_threads(8, {.memory = {}, .free_memory = {}, .cpus = quota}), threads) << quota;
  EXPECT_GE(default_thread_count(), 1);
  EXPECT_LE(default_thread_count(), static_cast<int>(usable_cpus().size()));
}

}  // namespace
}  // namespace fathom
