// TensorBoard event files, written by hand: a few fields of three protobuf messages in TFRecord frames.
//
// Sources: tensorboard/compat/proto/{event,summary,histogram}.proto for the field numbers; "TFRecords format details"
// of TensorFlow's guide for the frames; RFC 3720 appendix B.4 for CRC-32C and its test vectors.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "train/run/append_file.h"

namespace fathom {

// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), and as TFRecord stores it: rotated right by 15 bits, plus
// 0xa282ead8.
uint32_t crc32c(std::string_view bytes) noexcept;
uint32_t masked_crc32c(std::string_view bytes) noexcept;

// uint64 length, masked CRC of those 8 bytes, payload, masked CRC of the payload; little-endian.
std::string tfrecord_frame(std::string_view payload);

using NamedScalars = std::vector<std::pair<std::string, double>>;
using NamedArrays = std::vector<std::pair<std::string, std::vector<double>>>;

// Serialized Event messages. wall_time: seconds since 1970.
std::string file_version_event(double wall_time);                 // "brain.Event:2", the first of every file
std::string session_start_event(double wall_time, int64_t step);  // readers forget what has this step or a later one
// One Summary with a simple_value (float32) for every scalar and a histogram of the values for every array: equal
// buckets between its least and its greatest finite value. An array without a finite value is left out.
std::string summary_event(double wall_time, int64_t step, const NamedScalars& scalars, const NamedArrays& arrays);

// One new event file in `folder`, which is made when missing.
class TensorBoardWriter {
 public:
  static constexpr int kHistogramBuckets = 30;

  // first_step: the first step that this file may hold; whatever older files of the folder say of it or later steps is
  // purged by the reader. The file is named events.out.tfevents.TIME.HOST.PID, where TIME is now, or one second more
  // than the latest file there: TensorBoard reads the files of a folder in the order of their names. bad_input /
  // resource Error when the file cannot be made.
  TensorBoardWriter(const std::filesystem::path& folder, int64_t first_step, double wall_time);

  // Appends one event; resource Error when the disk is full, and then no part of it stays in the file.
  void write(double wall_time, int64_t step, const NamedScalars& scalars, const NamedArrays& arrays);
  const std::filesystem::path& path() const noexcept { return file_.path(); }

 private:
  AppendFile file_;
};

}  // namespace fathom
