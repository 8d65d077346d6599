#include "base/machine/numa.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "base/machine/stripes.h"
#include "base/machine/threads.h"
#include "support/files.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using Nodes = std::vector<std::vector<int>>;
using test::contains;
using test::error_of;

TEST(CpuList, IsReadAsSysfsWritesIt) {
  using List = std::vector<int>;
  EXPECT_EQ(parse_cpu_list("0\n"), List({0}));
  EXPECT_EQ(parse_cpu_list("0-3,8,10-11\n"), List({0, 1, 2, 3, 8, 10, 11}));
  EXPECT_EQ(parse_cpu_list("5,7"), List({5, 7}));
  EXPECT_EQ(parse_cpu_list("8191"), List({8191}));
  EXPECT_EQ(parse_cpu_list("0-8191")->size(), 8192u);
  EXPECT_EQ(parse_cpu_list("\n"), List());  // a node of memory alone
  EXPECT_EQ(parse_cpu_list(""), List());
}

TEST(CpuList, AnythingElseIsNone) {
  for (const std::string_view text :
       {"\n\n", " 0",   "0 ",  "0,",       ",0",   "0,,1",   "-1",         "0-",
        "-",    "0--1", "1-0", "3,2",      "2,2",  "0-3,3",  "0-3-5",      "+1",
        "0x1",  "a",    "1a",  "0-10:2/4", "8192", "0-8192", "4294967296", "18446744073709551617",
        "0\n1", "\xff"})
    EXPECT_EQ(parse_cpu_list(text), std::nullopt) << text;
  EXPECT_EQ(parse_cpu_list(std::string_view("0\0", 2)), std::nullopt);
}

// A folder as /sys, of files devices/system/node/...
struct FakeSysfs {
  explicit FakeSysfs(const std::vector<std::pair<std::string, std::string>>& files) {
    for (const auto& [name, text] : files) {
      const fs::path path = folder / "devices/system/node" / name;
      fs::create_directories(path.parent_path());
      test::write_text(path, text);
    }
  }
  Nodes nodes(std::vector<int> usable) const { return system_numa(usable, folder.path().string()).nodes; }
  test::TempFolder folder;
};

TEST(SystemNuma, NodesHaveThoseCpusThatThisProcessMayUse) {
  const FakeSysfs two({{"online", "0-1\n"}, {"node0/cpulist", "0-3,8-11\n"}, {"node1/cpulist", "4-7,12-15\n"}});
  EXPECT_EQ(two.nodes({0, 1, 2, 3, 4, 5}), Nodes({{0, 1, 2, 3}, {4, 5}}));
  EXPECT_EQ(two.nodes({3, 9, 12}), Nodes({{3, 9}, {12}}));
  EXPECT_EQ(two.nodes({8, 9}), Nodes({{8, 9}})) << "a node without usable CPUs";
  const FakeSysfs gaps(
      {{"online", "0,3-4\n"}, {"node0/cpulist", "0-1\n"}, {"node3/cpulist", "\n"}, {"node4/cpulist", "2-3"}});
  EXPECT_EQ(gaps.nodes({0, 1, 2, 3}), Nodes({{0, 1}, {2, 3}})) << "a node of memory alone";
}

TEST(SystemNuma, WhatIsBrokenIsOneNode) {
  const std::vector<int> usable = {0, 1, 2, 3};
  const std::vector<std::vector<std::pair<std::string, std::string>>> broken = {
      {},                                                                                    // no sysfs
      {{"node0/cpulist", "0-3\n"}},                                                          // no list of nodes
      {{"online", "0-1\n"}, {"node0/cpulist", "0-3\n"}},                                     // a node is missing
      {{"online", "two\n"}, {"node0/cpulist", "0-3\n"}},                                     // no list
      {{"online", "\n"}},                                                                    // no nodes
      {{"online", "0-1\n"}, {"node0/cpulist", "0-1\n"}, {"node1/cpulist", "2-3,\n"}},        // no list
      {{"online", "0-1\n"}, {"node0/cpulist", "0-1\n"}, {"node1/cpulist", "1-3\n"}},         // a CPU twice
      {{"online", "0-1\n"}, {"node0/cpulist", "0-1\n"}, {"node1/cpulist", "2\n"}},           // a CPU nowhere
      {{"online", "0-1\n"}, {"node0/cpulist", "0-1\n"}, {"node1/cpulist/online", "2-3\n"}},  // a folder
      {{"online", "0-1\n"}, {"node0/cpulist", "0-1\n"}, {"node1/cpulist", std::string(1 << 20, '2')}}};
  for (size_t i = 0; i < broken.size(); ++i) EXPECT_EQ(FakeSysfs(broken[i]).nodes(usable), Nodes({usable})) << i;
}

TEST(ChooseNuma, PretendedNodesShareTheCpus) {
  using Source = NumaTopology::Source;
  const std::vector<int> usable = {0, 1, 4, 5, 6};
  const auto nodes = [&](std::string_view setting) { return choose_numa(setting, usable, "/nowhere").nodes; };
  EXPECT_EQ(nodes("1"), Nodes({usable}));
  EXPECT_EQ(nodes("2"), Nodes({{0, 1}, {4, 5, 6}}));
  EXPECT_EQ(nodes("5"), Nodes({{0}, {1}, {4}, {5}, {6}}));
  EXPECT_EQ(choose_numa("4", std::array{0, 1}).nodes, Nodes({{0}, {0}, {1}, {1}})) << "more nodes than CPUs";
  EXPECT_EQ(nodes("64").size(), 64u);
  EXPECT_EQ(nodes("off"), Nodes({usable}));
  EXPECT_EQ(nodes("auto"), Nodes({usable}));
  EXPECT_EQ(nodes(""), Nodes({usable}));
  EXPECT_EQ(choose_numa(std::nullopt, usable, "/nowhere").source, Source::system);
  EXPECT_EQ(choose_numa("off", usable).source, Source::off);
  EXPECT_EQ(choose_numa("OFF", usable).source, Source::off);
  EXPECT_EQ(choose_numa("Auto", usable, "/nowhere").source, Source::system);
  EXPECT_EQ(choose_numa("2", usable).source, Source::pretended);
}

TEST(ChooseNuma, AnotherValueIsNamed) {
  for (const std::string_view bad : {"0", "-1", "65", "2 ", "on", "autos", "99999999999", "2x", "\x1b[31m"}) {
    const std::string message = error_of([&] { choose_numa(bad, std::array{0}); });
    EXPECT_TRUE(contains(message, "FATHOM_NUMA=")) << bad;
    EXPECT_TRUE(contains(message, "auto, off, or a number of memory nodes"));
    EXPECT_EQ(message.find('\x1b'), std::string::npos);
  }
}

TEST(ThreadsPerNode, AreInProportionToItsCpus) {
  const NumaTopology even{.nodes = {{0, 1, 2, 3}, {4, 5, 6, 7}}}, uneven{.nodes = {{0, 1, 2, 3, 4, 5}, {6, 7}}};
  using Counts = std::vector<int>;
  EXPECT_EQ(threads_per_node({}, 5), Counts({5}));
  EXPECT_EQ(threads_per_node(even, 1), Counts({1, 0}));
  EXPECT_EQ(threads_per_node(even, 2), Counts({1, 1}));
  EXPECT_EQ(threads_per_node(even, 3), Counts({2, 1}));
  EXPECT_EQ(threads_per_node(even, 8), Counts({4, 4}));
  EXPECT_EQ(threads_per_node(even, 16), Counts({8, 8}));
  EXPECT_EQ(threads_per_node(uneven, 8), Counts({6, 2}));
  EXPECT_EQ(threads_per_node(uneven, 4), Counts({3, 1}));
  for (int n = 1; n < 40; ++n) {
    const Counts counts = threads_per_node(uneven, n);
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0), n);
    EXPECT_LE(std::abs(counts[0] - n * 6 / 8.0), 1) << n;
  }
}

TEST(NumaPool, ThreadsRunOnTheCpusOfTheirNode) {
  const std::vector<int> usable = usable_cpus();
  for (const int n_nodes : {1, 2, 3, 4})
    for (const int threads : {1, 2, 3, 7}) {
      const NumaTopology numa = choose_numa(std::to_string(n_nodes), usable);
      {
        ThreadPool pool(threads, numa);
        EXPECT_EQ(pool.n_nodes(), std::min(n_nodes, threads));
        std::vector<std::vector<int>> cpus(static_cast<size_t>(threads));
        pool.run([&](int t) { cpus[static_cast<size_t>(t)] = usable_cpus(); });
        const std::vector<int> counts = threads_per_node(numa, threads);
        int t = 0, in_use = 0;
        for (size_t node = 0; node < counts.size(); ++node) {
          for (int i = 0; i < counts[node]; ++i, ++t) {
            EXPECT_EQ(pool.node_of(t), in_use);
            EXPECT_EQ(cpus[static_cast<size_t>(t)], pool.n_nodes() > 1 ? numa.nodes[node] : usable);
          }
          if (counts[node] > 0) ++in_use;
        }
      }
      EXPECT_EQ(usable_cpus(), usable) << "the calling thread has its CPUs back";
    }
}

TEST(NumaPool, EveryTaskOfEveryQueueIsDoneOnce) {
  for (const int n_nodes : {1, 2, 3})
    for (const int threads : {1, 3, 5}) {
      ThreadPool pool(threads, choose_numa(std::to_string(n_nodes), usable_cpus()));
      std::vector<std::atomic<int>> done(100);
      std::vector<std::vector<int>> queues(static_cast<size_t>(pool.n_nodes()));
      for (int i = 0; i < 100; ++i) queues[i < 90 ? 0 : queues.size() - 1].push_back(i);  // the others help
      pool.for_each_queued(queues, [&](int task) { ++done[static_cast<size_t>(task)]; });
      for (const auto& d : done) ASSERT_EQ(d.load(), 1);
    }
}

TEST(Stripes, OwnersTakeTurns) {
  const auto owner = [](uintptr_t address, int n) { return stripe_owner(reinterpret_cast<const void*>(address), n); };
  for (const uintptr_t i : {0, 1, 7, 1000})
    for (const int n : {1, 2, 3}) {
      EXPECT_EQ(owner(i * kStripe, n), static_cast<int>(i) % n);
      EXPECT_EQ(owner(i * kStripe + kStripe - 1, n), static_cast<int>(i) % n);
    }
}

// Which page lies where only a machine with nodes can show; here, that all pages and nothing else are touched.
TEST(Stripes, PlacingTouchesEveryPageAndNothingOutside) {
  constexpr size_t kBytes = 5 * kStripe + 4096;
  auto* memory = static_cast<std::byte*>(allocate_pages(kBytes, 64));
  for (const int n_nodes : {1, 2, 3})
    for (const auto& [begin, end] : {std::pair<size_t, size_t>{0, kBytes},
                                     {64, kStripe},
                                     {4096, 4097},
                                     {8192, 8192},
                                     {kStripe - 4096, 3 * kStripe + 4096}}) {
      ThreadPool pool(3, choose_numa(std::to_string(n_nodes), usable_cpus()));
      std::fill_n(memory, kBytes, std::byte{1});
      place_stripes(pool, {memory + begin, end - begin});
      for (size_t page = 0; page < kBytes; page += 4096) {
        const auto n = std::count(memory + page, memory + page + 4096, std::byte{0});
        const bool inside = n_nodes > 1 && page + 4096 > begin && page < end;
        ASSERT_EQ(n, inside ? 1 : 0) << page << " of " << begin << " to " << end << ", nodes " << n_nodes;
      }
      EXPECT_EQ(std::count(memory, memory + begin, std::byte{0}), 0);
      EXPECT_EQ(std::count(memory + end, memory + kBytes, std::byte{0}), 0);
    }
  free_pages(memory, kBytes, 64);
}

}  // namespace
}  // namespace fathom
