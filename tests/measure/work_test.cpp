#include "measure/work.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace fathom {
namespace {

TEST(Work, TextIsReadBack) {
  for (const Work& w : {Work{WorkKind::prefill, 512, 0, 1}, Work{WorkKind::prefill, 2048, 8192, 1},
                        Work{WorkKind::decode, 32, 4096, 1}, Work{WorkKind::decode, 16, 0, 32}})
    EXPECT_EQ(parse_work(to_text(w)), w) << to_text(w);
  EXPECT_EQ(parse_work("prefill:512"), (Work{WorkKind::prefill, 512, 0, 1}));
  EXPECT_EQ(parse_work("decode:32:7"), (Work{WorkKind::decode, 32, 7, 1}));
}

TEST(Work, WhatIsNoWorkIsRefused) {
  for (const char* text : {"", "prefill", "prefill:", "prefill:0", "prefill:-3", "prefill:5:x", "prefill:5:6:7",
                           "decode:1:2:0", "decode:1:2:3:4", "train:5", "decode:99999999999", "prefill:512 "})
    EXPECT_THROW(parse_work(text), Error) << text;
}

TEST(Work, NumbersAreReadWholeOrRefused) {
  EXPECT_EQ(parse_numbers("0,4096,8192", "--depth", 0), (std::vector<int64_t>{0, 4096, 8192}));
  for (const char* text : {"", "1,", ",1", "1;2", "1,two", "-1", "0x10"})
    EXPECT_THROW(parse_numbers(text, "--depth", 0), Error) << text;
  EXPECT_THROW(parse_numbers("0", "--prompt", 1), Error);
}

TEST(Work, ListsAreCombinedAndNothingOccursTwice) {
  const std::vector<Work> works = list_works({.prompts = {512, 64}, .depths = {0, 100}, .batches = {1, 8}, .steps = 4});
  const std::vector<Work> want = {{WorkKind::prefill, 512, 0, 1}, {WorkKind::prefill, 512, 100, 1},
                                  {WorkKind::prefill, 64, 0, 1},  {WorkKind::prefill, 64, 100, 1},
                                  {WorkKind::decode, 4, 0, 1},    {WorkKind::decode, 4, 100, 1},
                                  {WorkKind::decode, 4, 0, 8}};
  EXPECT_EQ(works, want);
}

TEST(Work, ADecodeReachesOnePositionMoreThanItsSteps) {
  EXPECT_EQ((Work{WorkKind::prefill, 512, 100, 1}).positions(), 612);
  EXPECT_EQ((Work{WorkKind::decode, 32, 100, 8}).positions(), 133);
  EXPECT_EQ((Work{WorkKind::decode, 32, 100, 8}).total_tokens(), 256);
}

}  // namespace
}  // namespace fathom
