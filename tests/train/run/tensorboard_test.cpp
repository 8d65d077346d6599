#include "train/run/tensorboard.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/file/file.h"
#include "support/files.h"

namespace fathom {
namespace {

class TensorBoardTest : public ::testing::Test {
 protected:
  test::TempFolder temporary_;
  const std::filesystem::path folder_ = temporary_ / "tensorboard";
};

uint64_t little_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

// The payloads of a file of frames; every length and both checksums of each frame are checked.
std::vector<std::string> payloads(const std::string& file) {
  std::vector<std::string> out;
  std::string_view rest = file;
  while (!rest.empty()) {
    if (rest.size() < 16) {
      ADD_FAILURE() << "torn frame";
      return out;
    }
    const uint64_t length = little_endian(rest.substr(0, 8));
    EXPECT_EQ(little_endian(rest.substr(8, 4)), masked_crc32c(rest.substr(0, 8)));
    if (length > rest.size() - 16) {
      ADD_FAILURE() << "frame of " << length << " bytes in a file with " << rest.size() << " left";
      return out;
    }
    const std::string_view payload = rest.substr(12, length);
    EXPECT_EQ(little_endian(rest.substr(12 + length, 4)), masked_crc32c(payload));
    out.emplace_back(payload);
    rest.remove_prefix(16 + length);
  }
  return out;
}

TEST(Crc32c, HasTheValuesOfRfc3720) {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);  // the check value of the polynomial
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string up, down;
  for (int i = 0; i < 32; ++i) up += static_cast<char>(i);
  for (int i = 31; i >= 0; --i) down += static_cast<char>(i);
  EXPECT_EQ(crc32c(up), 0x46dd794eu);
  EXPECT_EQ(crc32c(down), 0x113fdb5cu);
}

TEST(Crc32c, IsMaskedByARotationAndAConstant) {
  const uint32_t crc = 0xe3069283u;
  EXPECT_EQ(masked_crc32c("123456789"), static_cast<uint32_t>((crc >> 15 | crc << 17) + 0xa282ead8u));
}

TEST(TfRecord, FramesAPayloadWithItsLengthAndTwoChecksums) {
  const std::string frame = tfrecord_frame("abc");
  ASSERT_EQ(frame.size(), 8u + 4 + 3 + 4);
  EXPECT_EQ(frame.substr(0, 8), std::string("\3\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(payloads(frame + tfrecord_frame("")), (std::vector<std::string>{"abc", ""}));
}

// Bytes by hand from the field numbers: 09 wall_time, 10 step, 1a file_version, 2a summary, 3a session_log.
TEST(Event, HasTheBytesOfItsProtobufFields) {
  const std::string wall("\x09\0\0\0\0\0\0\xf0\x3f", 9);  // 1.0
  EXPECT_EQ(file_version_event(1.0), wall + "\x1a\x0d" + "brain.Event:2");
  EXPECT_EQ(session_start_event(1.0, 300), wall + "\x10\xac\x02" + "\x3a\x02\x08\x01");
  EXPECT_EQ(session_start_event(1.0, 0), wall + "\x3a\x02\x08\x01");
  const std::string value = std::string("\x0a\x04loss\x15", 7) + std::string("\0\0\x20\x40", 4);  // 2.5f
  EXPECT_EQ(summary_event(1.0, 7, {{"loss", 2.5}}, {}), wall + "\x10\x07" + std::string("\x2a\x0d\x0a\x0b", 4) + value);
}

TEST(Event, AHistogramCountsEveryFiniteValueOnce) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::string event = summary_event(1.0, 0, {}, {{"h", {0.0, 1.0, 0.5, nan, 1.0}}});
  const auto number_at = [&](size_t at) {
    const uint64_t bits = little_endian(std::string_view(event).substr(at, 8));
    double value;
    std::memcpy(&value, &bits, 8);
    return value;
  };
  const size_t min = event.find(std::string("\x09\0\0\0\0\0\0\0\0\x11", 10));  // min = 0.0, then max
  ASSERT_NE(min, std::string::npos);
  EXPECT_EQ(number_at(min + 10), 1.0);   // max
  EXPECT_EQ(number_at(min + 19), 4.0);   // num
  EXPECT_EQ(number_at(min + 28), 2.5);   // sum
  EXPECT_EQ(number_at(min + 37), 2.25);  // sum of squares
  double counted = 0;
  const size_t counts = event.size() - 8 * TensorBoardWriter::kHistogramBuckets;
  for (int i = 0; i < TensorBoardWriter::kHistogramBuckets; ++i)
    counted += number_at(counts + 8 * static_cast<size_t>(i));
  EXPECT_EQ(counted, 4.0);
  EXPECT_EQ(number_at(counts), 1.0);
  EXPECT_EQ(number_at(event.size() - 8), 2.0);
}

TEST(Event, HistogramsOfOneValueAndOfTheWidestRangeAreWhole) {
  const double huge = std::numeric_limits<double>::max();
  EXPECT_FALSE(summary_event(1.0, 0, {}, {{"h", {3.0, 3.0}}}).empty());
  EXPECT_FALSE(summary_event(1.0, 0, {}, {{"h", {-huge, huge, 0.0}}}).empty());
  EXPECT_EQ(summary_event(1.0, 0, {}, {{"h", {}}}), summary_event(1.0, 0, {}, {}));
}

TEST_F(TensorBoardTest, AFileBeginsWithItsVersionAndTheStepFromWhichOlderFilesAreForgotten) {
  TensorBoardWriter writer(folder_, 41, 1e9);
  writer.write(1e9 + 1, 41, {{"loss", 2.0}}, {{"load", {0.5, 0.5}}});
  const auto events = payloads(read_file(writer.path()));
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0], file_version_event(1e9));
  EXPECT_EQ(events[1], session_start_event(1e9, 41));
  EXPECT_EQ(events[2], summary_event(1e9 + 1, 41, {{"loss", 2.0}}, {{"load", {0.5, 0.5}}}));
}

TEST_F(TensorBoardTest, ALaterFileSortsBehindTheEarlierOnesEvenWithinOneSecond) {
  const TensorBoardWriter first(folder_, 0, 1e9), second(folder_, 5, 1e9), third(folder_, 9, 1e9 - 100);
  EXPECT_LT(first.path().filename(), second.path().filename());
  EXPECT_LT(second.path().filename(), third.path().filename());
  EXPECT_EQ(first.path().filename().string().rfind("events.out.tfevents.1000000000.", 0), 0u);
}

TEST_F(TensorBoardTest, AFileInPlaceOfTheFolderIsNamed) {
  test::write_text(folder_, "");
  const std::string why = test::error_of([&] { TensorBoardWriter(folder_, 0, 1e9); });
  EXPECT_TRUE(test::contains(why, folder_.string()));
}

}  // namespace
}  // namespace fathom
