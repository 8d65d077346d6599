// Packed weights over several memory nodes: where they are put, and, by a model of threads that never ran on such a
// machine, which share of the bytes is read by threads of the node that has them.
#include <gtest/gtest.h>

#include <numeric>

#include "base/machine/stripes.h"
#include "base/random.h"
#include "kernels/matmul/packed_schedule.h"
#include "packing/packed_weights.h"

namespace fathom {
namespace {

constexpr size_t kLayers = 2, kExperts = 64, kChosen = 6;
constexpr uint64_t kTokens = 400;

struct ExpertWeights {
  Weight gate, up, down;
};

// The experts of some layers of V2-Lite, at made-up addresses that nobody reads.
class Experts {
 public:
  explicit Experts(int n_nodes) : all_(kLayers * kExperts) {
    std::vector<NamedWeight> names;
    for (size_t i = 0; i < all_.size(); ++i) {
      const std::string expert = fmt::format("model.layers.{}.mlp.experts.{}.", i / kExperts, i % kExperts);
      all_[i].gate = all_[i].up = Weight{.dtype = DType::q4_0, .rows = 1408, .cols = 2048};
      all_[i].down = Weight{.dtype = DType::q4_0, .rows = 2048, .cols = 1408};
      names.push_back({expert + "gate_proj.weight", &all_[i].gate});
      names.push_back({expert + "up_proj.weight", &all_[i].up});
      names.push_back({expert + "down_proj.weight", &all_[i].down});
    }
    const std::vector<int64_t> at = lay_out_packed(names, n_nodes);
    bytes_ = at.back();
    for (size_t i = 0; i < names.size(); ++i)
      names[i].weight->packed = reinterpret_cast<const std::byte*>(3 * kStripe + static_cast<size_t>(at[i]));
  }
  const std::vector<ExpertWeights>& all() const { return all_; }
  int64_t bytes() const { return bytes_; }

  // Those of one layer, the layers in turns, that a token chooses.
  std::vector<const ExpertWeights*> choose(uint64_t token) const {
    std::vector<size_t> ids(kExperts);
    std::iota(ids.begin(), ids.end(), token % kLayers * kExperts);
    std::vector<const ExpertWeights*> chosen;
    for (size_t i = 0; i < kChosen; ++i) {
      const double left = static_cast<double>(kExperts - i);
      std::swap(ids[i], ids[i + static_cast<size_t>(uniform01(5, token, i) * left)]);
      chosen.push_back(&all_[ids[i]]);
    }
    return chosen;
  }

 private:
  std::vector<ExpertWeights> all_;
  int64_t bytes_ = 0;
};

// Bytes of tasks [begin, end) of w that lie on a node.
int64_t bytes_on(int node, int n_nodes, const Weight& w, int64_t begin, int64_t end) {
  const int64_t task = kTaskStrips * strip_bytes(w.dtype, w.cols);
  int64_t bytes = 0;
  for (const std::byte *at = w.packed + begin * task, *stop = w.packed + end * task; at < stop;) {
    const size_t left = kStripe - reinterpret_cast<uintptr_t>(at) % kStripe;
    const int64_t n = std::min<int64_t>(static_cast<int64_t>(left), stop - at);
    if (stripe_owner(at, n_nodes) == node) bytes += n;
    at += n;
  }
  return bytes;
}

// A machine of `threads` threads on each of n_nodes. The one that is free first (of several the one of the lowest
// number) takes the next run, as ThreadPool does; a byte of another node takes `remote` times as long as one of its
// own.
struct Machine {
  int n_nodes, threads;
  double remote;
  bool queues;  // false: runs in their order, as with one node
  int64_t local = 0, total = 0;

  struct Job {
    const Weight *w, *also;
  };
  using Runs = std::vector<TaskSpan>;  // taken together

  // One queue for each node, or one for all.
  std::vector<std::vector<Runs>> queues_of(const PackedSchedule& section) const {
    const int64_t n = section.n_tasks(), at_a_time = section.grain(threads * n_nodes);
    std::vector<std::vector<Runs>> all;
    if (queues) {
      for (const auto& queue : section.node_queues(at_a_time, n_nodes)) {
        all.emplace_back();
        for (const TaskSpan& r : queue) all.back().push_back({r});
      }
      return all;
    }
    all.emplace_back();
    for (int64_t begin = 0; begin < n; begin += at_a_time) {
      all[0].emplace_back();
      section.for_each_span(begin, std::min(n, begin + at_a_time),
                            [&](const TaskSpan& r) { all[0].back().push_back(r); });
    }
    return all;
  }

  // Seconds, one for each byte of the thread's own node.
  double read(const Job& job, const TaskSpan& r, int node) {
    double seconds = 0;
    for (const Weight* w : {job.w, job.also}) {
      if (w == nullptr) continue;
      const int64_t bytes = (r.end - r.begin) * kTaskStrips * strip_bytes(w->dtype, w->cols),
                    near = bytes_on(node, n_nodes, *w, r.begin, r.end);
      seconds += static_cast<double>(near) + remote * static_cast<double>(bytes - near);
      local += near;
      total += bytes;
    }
    return seconds;
  }

  void run(const std::vector<Job>& jobs) {
    PackedSchedule section(jobs.size());
    for (const Job& j : jobs) section.add(1, *j.w, j.also);
    const std::vector<std::vector<Runs>> waiting = queues_of(section);
    std::vector<size_t> next(waiting.size(), 0);
    std::vector<double> free_at(static_cast<size_t>(threads * n_nodes), 0);
    for (;;) {
      const auto thread = std::min_element(free_at.begin(), free_at.end());
      const int node = static_cast<int>(thread - free_at.begin()) / threads;
      size_t q = static_cast<size_t>(node) % waiting.size(), seen = 0;
      for (; seen < waiting.size() && next[q] == waiting[q].size(); ++seen) q = (q + 1) % waiting.size();
      if (seen == waiting.size()) return;
      for (const TaskSpan& r : waiting[q][next[q]++]) *thread += read(jobs[r.job], r, node);
    }
  }
};

double local_share(const Experts& experts, Machine machine) {
  for (uint64_t token = 0; token < kTokens; ++token) {
    std::vector<Machine::Job> gated, down;
    for (const ExpertWeights* e : experts.choose(token)) {
      gated.push_back({&e->gate, &e->up});
      down.push_back({&e->down, nullptr});
    }
    machine.run(gated);
    machine.run(down);
  }
  return static_cast<double>(machine.local) / static_cast<double>(machine.total);
}

TEST(PackedNodes, OneNodeHasTheWeightsAsTheyCome) {
  std::vector<Weight> w(4, Weight{.dtype = DType::q8_0, .rows = 9, .cols = 32});
  std::vector<NamedWeight> names = {{"a.gate_proj.weight", &w[0]},
                                    {"a.up_proj.weight", &w[1]},
                                    {"a.down_proj.weight", &w[2]},
                                    {"b.gate_proj.weight", &w[3]}};
  const int64_t room = (packed_weight_bytes(w[0]) + kPackedAlign - 1) / kPackedAlign * kPackedAlign;
  EXPECT_EQ(lay_out_packed(names, 1), std::vector<int64_t>({0, room, 2 * room, 3 * room, 4 * room}));
  for (size_t i = 0; i < names.size(); ++i) EXPECT_EQ(names[i].weight, &w[i]);
}

TEST(PackedNodes, GateAndUpOfAnExpertHaveTheSameOwnerEverywhere) {
  for (const int n_nodes : {2, 3, 4, 8}) {
    const Experts experts(n_nodes);
    int64_t needed = 0;
    for (const ExpertWeights& e : experts.all()) {
      EXPECT_EQ((e.up.packed - e.gate.packed) % (n_nodes * int64_t{kStripe}), 0);
      for (const Weight* w : {&e.gate, &e.up, &e.down}) needed += packed_weight_bytes(*w);
    }
    EXPECT_LE(experts.bytes(), needed + 2 * n_nodes * int64_t{kStripe});
  }
}

TEST(PackedNodes, EveryTaskIsInOneRunOfItsOwner) {
  const Experts experts(3);
  PackedSchedule section(experts.all().size());
  for (const ExpertWeights& e : experts.all()) section.add(1, e.gate, &e.up);
  std::vector<std::vector<int>> times(experts.all().size(), std::vector<int>(44, 0));
  const auto queues = section.node_queues(5, 3);
  ASSERT_EQ(queues.size(), 3u);
  for (int node = 0; node < 3; ++node)
    for (const TaskSpan& r : queues[static_cast<size_t>(node)]) {
      EXPECT_LE(r.end - r.begin, 5);
      const Weight& w = experts.all()[r.job].gate;
      for (int64_t i = r.begin; i < r.end; ++i) {
        ++times[r.job][static_cast<size_t>(i)];
        EXPECT_EQ(stripe_owner(w.packed + i * kTaskStrips * strip_bytes(w.dtype, w.cols), 3), node);
      }
    }
  for (const auto& t : times) EXPECT_EQ(t, std::vector<int>(44, 1));
}

// The table of docs/performance/numa.md: threads on each node; shares with runs in their order, with
// a queue for each node, and with that and expert after expert in memory, gate and up apart.
TEST(PackedNodes, MostBytesAreReadByThreadsOfTheirNode) {
  struct Row {
    int n_nodes, threads;
    double in_order, queues, without_layout;
  };
  for (const Row& row : {Row{2, 4, 0.495, 0.888, 0.684},
                         {2, 8, 0.494, 0.884, 0.682},
                         {2, 16, 0.504, 0.885, 0.680},
                         {4, 4, 0.247, 0.706, 0.536},
                         {4, 8, 0.246, 0.680, 0.515},
                         {4, 16, 0.249, 0.633, 0.472}}) {
    SCOPED_TRACE(fmt::format("{} nodes of {} threads", row.n_nodes, row.threads));
    const Experts placed(row.n_nodes), as_they_come(1);
    const auto share = [&](const Experts& experts, double remote, bool queues) {
      return local_share(experts, {row.n_nodes, row.threads, remote, queues});
    };
    EXPECT_NEAR(share(placed, 1, false), row.in_order, 0.001);
    EXPECT_NEAR(share(placed, 1, true), row.queues, 0.001);
    EXPECT_NEAR(share(as_they_come, 1, true), row.without_layout, 0.001);
    EXPECT_NEAR(share(placed, 2, true), row.queues, 0.03) << "a slow link takes work from those who help";
  }
}

}  // namespace
}  // namespace fathom
