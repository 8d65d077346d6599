// The peer's side, with a shell script in the place of the program that drives llama.cpp.
#include "measure/peer.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "measure/bench.h"
#include "measure/process.h"
#include "support/errors.h"
#include "support/files.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::refusal;

#if defined(__x86_64__)
constexpr const char* kMachine = "linux-x64";
#else
constexpr const char* kMachine = "linux-arm64";
#endif

// A folder as npm leaves it, with a runner that prints `script`'s lines.
class FakePeer {
 public:
  explicit FakePeer(const std::string& script) {
    const fs::path bins = folder / "node_modules" / "@node-llama-cpp" / kMachine / "bins" / kMachine;
    fs::create_directories(bins);
    test::write_text(bins / "_nlcBuildMetadata.json", R"({"buildOptions": {"llamaCpp": {"release": "v9"}}})");
    fs::create_directories(folder / ".fathom");
    test::write_text(folder / ".fathom" / "llama_runner.c", kLlamaRunnerSource);
    const fs::path runner = folder / ".fathom" / "llama_runner-v9";
    test::write_text(runner, "#!/bin/sh\n" + script);
    fs::permissions(runner, fs::perms::owner_all);
  }
  PeerRun run(const std::vector<PeerWork>& works) const {
    return Peer(folder.path().string()).run("some.gguf", 2, Fill::random, works, {});
  }
  test::TempFolder folder;
};

const PeerWork kPrefill{{WorkKind::prefill, 512, 4096, 1}, true, 2048};
const PeerWork kDecode{{WorkKind::decode, 16, 0, 8}, false, 512};

TEST(Peer, AMissingOneIsASentenceWithTheCommandThatInstallsIt) {
  const test::TempFolder empty;
  const std::string text = refusal([&] { Peer(empty.path().string()); });
  EXPECT_TRUE(contains(text, "npm install --prefix " + empty.path().string()) && contains(text, "node-llama-cpp"))
      << text;
  EXPECT_TRUE(contains(text, "--peer")) << text;
}

TEST(Peer, WorksAreHandedOverAndItsFiguresRead) {
  const FakePeer fake(
      "echo \"system AVX2 = 1 | $3 threads | $4\"; echo load 1.5\n"
      "for w in \"$5\" \"$6\"; do echo \"$w 0.25\"; done; echo peak 1000; echo done\n");
  const PeerRun run = fake.run({kPrefill, kDecode});
  EXPECT_EQ(run.system, "AVX2 = 1 | 2 threads | copies");
  EXPECT_EQ(run.load_seconds, 1.5);
  EXPECT_EQ(run.peak_memory_bytes, 1000);
  EXPECT_EQ(run.seconds, (std::vector<double>{0.25, 0.25}));
  EXPECT_EQ(kPrefill.text(), "prefill:512:4096:1:2048");
  EXPECT_EQ(kDecode.text(), "decode:16:0:0:8");
}

TEST(Peer, ItsRefusalIsSaidInItsOwnWords) {
  const FakePeer refuses("echo error llama.cpp does not load the model; echo 'unknown arch' >&2; exit 1\n");
  const std::string text = refusal([&] { refuses.run({kDecode}); });
  EXPECT_TRUE(contains(text, "does not load the model") && contains(text, "unknown arch") &&
              contains(text, "some.gguf"))
      << text;
  const FakePeer dies("echo system AVX2 = 1; echo load 1; kill -9 $$\n");
  EXPECT_TRUE(contains(refusal([&] { dies.run({kDecode}); }), "137"));
  const FakePeer forgets("echo system AVX2 = 1; echo load 1; echo done\n");
  EXPECT_TRUE(contains(refusal([&] { forgets.run({kDecode}); }), "ends with 0"));
}

TEST(Peer, VariantsAreThoseThatMatter) {
  EXPECT_EQ(peer_variants({WorkKind::prefill, 512, 0, 1}).size(), 2u);
  EXPECT_EQ(peer_variants({WorkKind::prefill, 2048, 0, 1}).size(), 4u);
  EXPECT_EQ(peer_variants({WorkKind::decode, 2048, 0, 8}).size(), 2u);
}

// Flash attention wins the prefill and loses the decode in the first round; later rounds run the winners alone.
TEST(Against, TurnsAlternateAndTheBestSettingsOfEachWorkAreKept) {
  const FakePeer fake(
      "echo \"$@\" >> \"$0.log\"; echo system AVX2 = 1; echo load 2; shift 4\n"
      "for w in \"$@\"; do case $w in prefill:*:1:*|decode:*:0:1) echo \"$w 2.0\";; *) echo \"$w 4.0\";; esac; done\n"
      "echo peak 5; echo done\n");
  BenchOptions o;
  o.model = "some.gguf";
  o.threads = {2};
  o.works = {{WorkKind::prefill, 8, 0, 1}, {WorkKind::decode, 4, 0, 1}};
  o.limits = false;
  o.quiet = true;
  EngineRun own;
  own.threads = 2;
  own.timings = {{o.works[0], {1.0}}, {o.works[1], {1.0}}};
  BenchReport turn;
  turn.runs = {own};
  const fs::path program = fake.folder / "fathom";
  test::write_text(fake.folder / "turn.json", to_pretty_json(to_json(turn)));
  test::write_text(program, "#!/bin/sh\ncat " + (fake.folder / "turn.json").string() + "\n");
  fs::permissions(program, fs::perms::owner_all);

  const BenchReport report = run_against(o, Peer(fake.folder.path().string()), 3, program.string());
  ASSERT_EQ(report.runs.size(), 1u);
  ASSERT_EQ(report.peer_runs.size(), 1u);
  EXPECT_EQ(report.runs[0].timings[0].seconds, (std::vector<double>{1, 1, 1}));
  EXPECT_EQ(report.peer_runs[0].timings[1].seconds, (std::vector<double>{2, 2, 2}));
  EXPECT_EQ(report.peer_runs[0].settings,
            (std::vector<std::string>{"flash attention, ubatch 512", "no flash attention"}));
  EXPECT_EQ(report.peer, "llama.cpp v9 (AVX2 = 1)");
  const std::string log = test::read_text(fake.folder / ".fathom" / "llama_runner-v9.log");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 3);
  EXPECT_TRUE(contains(log, "copies prefill:8:0:1:512 decode:4:0:0:1\n")) << log;
  const std::string table = to_table(report);
  EXPECT_TRUE(contains(table, "2.00 (2.00 to 2.00)")) << table;
  const BenchReport again = report_from_json(to_json(report), "report");
  EXPECT_EQ(to_json(again), to_json(report));
}

TEST(Process, OutputAndEndAreReported) {
  std::vector<std::string> lines;
  const ProcessResult r = run_process({"sh", "-c", "echo one; echo two >&2; printf three; exit 7"},
                                      [&](const std::string& line) { lines.push_back(line); });
  EXPECT_EQ(r.status, 7);
  EXPECT_EQ(r.out, "one\nthree");
  EXPECT_EQ(r.errors, "two\n");
  EXPECT_EQ(lines, std::vector<std::string>{"one"});
  EXPECT_EQ(last_line("a\nb \n\n"), "b");
  EXPECT_THROW(run_process({"/nonexistent/program"}), Error);
}

}  // namespace
}  // namespace fathom
