#include "base/trace.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/file/file.h"
#include "base/json/json.h"
#include "base/machine/threads.h"
#include "support/files.h"

namespace fathom {
namespace {

json::array events_of(const std::filesystem::path& path) {
  return parse_json(read_file(path), "trace").at("traceEvents").as_array();
}

std::string name_of(const json::value& event) { return json::value_to<std::string>(event.at("name")); }

double end_of(const json::value& event) {
  return event.at("ts").to_number<double>() + event.at("dur").to_number<double>();
}

TEST(Trace, ZonesNestAndSayTheirNumbers) {
  test::TempFolder folder;
  TraceFile trace(folder / "t.json");
  {
    const Zone outer("outer", 7);
    const Zone inner("inner");
    EXPECT_STREQ(Zone::current(), "inner");
  }
  EXPECT_EQ(Zone::current(), nullptr);
  trace.finish();
  const json::array events = events_of(folder / "t.json");
  ASSERT_EQ(events.size(), 3u);  // two zones and the name of the thread
  const json::value &inner = events[0], &outer = events[1];
  EXPECT_EQ(name_of(inner), "inner");
  EXPECT_EQ(name_of(outer), "outer");
  EXPECT_EQ(outer.at("args").at("n").to_number<int64_t>(), 7);
  EXPECT_GE(inner.at("ts").to_number<double>(), outer.at("ts").to_number<double>());
  EXPECT_LE(end_of(inner), end_of(outer));
}

// Each waits until all are there: none does the parts of others.
void run_on_every_thread(ThreadPool& pool) {
  std::atomic<int> inside = 0;
  pool.run([&](int) {
    ++inside;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (inside < pool.size() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  });
}

// What other threads do for a zone has its name, on lines of their own.
TEST(Trace, EveryThreadOfAPoolHasItsOwnLine) {
  test::TempFolder folder;
  ThreadPool pool(3);
  TraceFile trace(folder / "t.json");
  {
    const Zone zone("work");
    run_on_every_thread(pool);
  }
  trace.finish();
  std::set<int64_t> threads;
  for (const json::value& e : events_of(folder / "t.json"))
    if (name_of(e) == "work") threads.insert(e.at("tid").to_number<int64_t>());
  EXPECT_EQ(threads.size(), 3u);
}

TEST(Trace, NothingIsRecordedWithoutAFileOrAfterIt) {
  test::TempFolder folder;
  {
    TraceFile none{std::filesystem::path()};
    const Zone zone("unseen");
    EXPECT_EQ(Zone::current(), nullptr);
  }
  TraceFile(folder / "first.json").finish();
  TraceFile second(folder / "second.json");
  { const Zone zone("seen"); }
  second.finish();
  EXPECT_EQ(events_of(folder / "first.json").size(), 1u);
  const json::array events = events_of(folder / "second.json");
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(name_of(events[0]), "seen");
}

TEST(Trace, AFileThatCannotBeWrittenIsRefusedAtOnce) {
  test::TempFolder folder;
  EXPECT_THROW(TraceFile(folder / "missing" / "t.json"), Error);
  EXPECT_EQ(Zone::current(), nullptr);
}

TEST(Trace, AnOlderFileStaysWhereTheRunEndsBeforeItsTrace) {
  test::TempFolder folder;
  test::write_text(folder / "t.json", "older");
  { const TraceFile trace(folder / "t.json"); }
  EXPECT_EQ(test::read_text(folder / "t.json"), "older");
  EXPECT_FALSE(trace::is_recorded);
}

// What is mapped when the trace is written is an input, whatever it was when the run began.
TEST(Trace, AnInputIsNotReplaced) {
  test::TempFolder folder;
  test::write_text(folder / "model", "weights");
  TraceFile trace(folder / "model");
  const MappedFile model(folder / "model");
  EXPECT_THROW(trace.finish(), Error);
  EXPECT_EQ(test::read_text(folder / "model"), "weights");
}

TEST(Trace, WritingIsTriedOnce) {
  TraceFile trace("/dev/full");
  EXPECT_THROW(trace.finish(), Error);
  testing::internal::CaptureStderr();
  trace.finish();
  trace.finish_or_say();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(Trace, AnErrorIsSaidWhereTheRunEndsByAnother) {
  TraceFile trace("/dev/full");
  testing::internal::CaptureStderr();
  trace.finish_or_say();
  EXPECT_NE(testing::internal::GetCapturedStderr().find("/dev/full: "), std::string::npos);
}

double caller_seconds(const std::vector<ZoneTime>& times, std::string_view name) {
  for (const ZoneTime& t : times)
    if (t.name == name) return t.caller_seconds;
  return -1;
}

void pass_a_while() { std::this_thread::sleep_for(std::chrono::milliseconds(3)); }

TEST(ZoneProfile, TimesAreWithoutThoseOfTheZonesInside) {
  const auto start = std::chrono::steady_clock::now();
  ZoneProfile profile;
  for (int i = 0; i < 2; ++i) {
    const Zone outer("outer");
    pass_a_while();
    {
      const Zone inner("inner");
      pass_a_while();
      pass_a_while();
    }
  }
  const std::vector<ZoneTime> times = profile.finish();
  const std::chrono::duration<double> all = std::chrono::steady_clock::now() - start;
  ASSERT_EQ(times.size(), 2u);
  EXPECT_GE(caller_seconds(times, "outer"), 0.006);
  EXPECT_GE(caller_seconds(times, "inner"), 0.012);
  EXPECT_LE(caller_seconds(times, "outer") + caller_seconds(times, "inner"), all.count());
}

TEST(ZoneProfile, BeginsAnewAndLeavesATraceAlone) {
  {
    ZoneProfile first;
    const Zone zone("before");
  }
  EXPECT_EQ(Zone::current(), nullptr);
  test::TempFolder folder;
  TraceFile trace(folder / "t.json");
  { const Zone zone("early"); }
  {
    ZoneProfile profile;
    { const Zone zone("late"); }
    const std::vector<ZoneTime> times = profile.finish();
    ASSERT_EQ(times.size(), 1u);
    EXPECT_EQ(times[0].name, "late");
  }
  trace.finish();
  EXPECT_EQ(events_of(folder / "t.json").size(), 3u);  // early, late, the name of the thread
}

TEST(ZoneProfile, TellsOtherThreadsApart) {
  ThreadPool pool(2);
  ZoneProfile profile;
  {
    const Zone zone("work");
    run_on_every_thread(pool);
  }
  for (const ZoneTime& t : profile.finish())
    if (t.name == "work") {
      EXPECT_GT(t.caller_seconds, 0);
      EXPECT_GT(t.other_seconds, 0);
    }
}

}  // namespace
}  // namespace fathom
