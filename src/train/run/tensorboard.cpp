#include "train/run/tensorboard.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <system_error>

#include "base/error.h"

namespace fathom {
namespace {

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
    table[byte] = crc;
  }
  return table;
}

void append_little_endian(std::string& out, uint64_t value, int n_bytes) {
  for (int i = 0; i < n_bytes; ++i) out += static_cast<char>((value >> (8 * i)) & 0xff);
}

// Fields of a protobuf message (protobuf.dev/programming-guides/encoding): a tag, number << 3 | wire type, then the
// value.
void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7f) | 0x80);
  out += static_cast<char>(value);
}

void append_integer(std::string& out, uint32_t field, int64_t value) {
  append_varint(out, field << 3);
  append_varint(out, static_cast<uint64_t>(value));
}

void append_double(std::string& out, uint32_t field, double value) {
  append_varint(out, (field << 3) | 1);
  append_little_endian(out, std::bit_cast<uint64_t>(value), 8);
}

void append_float(std::string& out, uint32_t field, float value) {
  append_varint(out, (field << 3) | 5);
  append_little_endian(out, std::bit_cast<uint32_t>(value), 4);
}

void append_bytes(std::string& out, uint32_t field, std::string_view bytes) {
  append_varint(out, (field << 3) | 2);
  append_varint(out, bytes.size());
  out += bytes;
}

void append_doubles(std::string& out, uint32_t field, const std::vector<double>& values) {
  std::string packed;
  for (const double v : values) append_little_endian(packed, std::bit_cast<uint64_t>(v), 8);
  append_bytes(out, field, packed);
}

// Event: wall_time = 1, step = 2; a step of 0 is the default and left out.
std::string event_header(double wall_time, int64_t step) {
  std::string event;
  append_double(event, 1, wall_time);
  if (step != 0) append_integer(event, 2, step);
  return event;
}

// HistogramProto: min = 1, max = 2, num = 3, sum = 4, sum_squares = 5, bucket_limit = 6 (upper ends), bucket = 7
// (counts).
std::string histogram(const std::vector<double>& values) {
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  const double min = *least, max = *greatest;
  const size_t n_buckets = max > min ? TensorBoardWriter::kHistogramBuckets : 1;
  const double n = static_cast<double>(n_buckets), width = max / n - min / n;  // no overflow of max - min
  std::vector<double> limits(n_buckets), counts(n_buckets);
  for (size_t i = 0; i < n_buckets; ++i)
    limits[i] = i + 1 == n_buckets ? max : min + width * static_cast<double>(i + 1);
  double sum = 0, sum_squares = 0;
  for (const double v : values) {
    const auto at = std::lower_bound(limits.begin(), limits.end(), v) - limits.begin();  // v <= the bucket's limit
    counts[std::min(static_cast<size_t>(at), n_buckets - 1)] += 1;
    sum += v;
    sum_squares += v * v;
  }
  std::string out;
  append_double(out, 1, min);
  append_double(out, 2, max);
  append_double(out, 3, static_cast<double>(values.size()));
  append_double(out, 4, sum);
  append_double(out, 5, sum_squares);
  append_doubles(out, 6, limits);
  append_doubles(out, 7, counts);
  return out;
}

constexpr std::string_view kFilePrefix = "events.out.tfevents.";

// TIME of events.out.tfevents.TIME.HOST.PID; 0 for another name.
int64_t time_in_name(const std::string& name) {
  int64_t time = 0;
  if (name.compare(0, kFilePrefix.size(), kFilePrefix) == 0)
    std::from_chars(name.data() + kFilePrefix.size(), name.data() + name.size(), time);
  return time;
}

std::filesystem::path new_file(const std::filesystem::path& folder, double wall_time) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) throw_bad_input("{}: the folder cannot be made: {}", folder.string(), failed.message());
  auto time = static_cast<int64_t>(wall_time);
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed))
    time = std::max(time, time_in_name(entry.path().filename().string()) + 1);
  if (failed) throw_bad_input("{}: the folder cannot be read: {}", folder.string(), failed.message());
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0 || host[0] == '\0') host = {"localhost"};
  return folder / fmt::format("{}{:010}.{}.{}", kFilePrefix, time, host.data(), ::getpid());
}

}  // namespace

uint32_t crc32c(std::string_view bytes) noexcept {
  static constexpr std::array<uint32_t, 256> table = crc_table();
  uint32_t crc = 0xffffffffu;
  for (const char c : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) noexcept { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

std::string tfrecord_frame(std::string_view payload) {
  std::string frame;
  frame.reserve(payload.size() + 16);
  append_little_endian(frame, payload.size(), 8);
  append_little_endian(frame, masked_crc32c(frame), 4);
  frame += payload;
  append_little_endian(frame, masked_crc32c(payload), 4);
  return frame;
}

std::string file_version_event(double wall_time) {
  std::string event = event_header(wall_time, 0);
  append_bytes(event, 3, "brain.Event:2");  // Event.file_version
  return event;
}

std::string session_start_event(double wall_time, int64_t step) {
  std::string event = event_header(wall_time, step), session_log;
  append_integer(session_log, 1, 1);    // SessionLog.status = START
  append_bytes(event, 7, session_log);  // Event.session_log
  return event;
}

// Event.summary = 5; Summary.value = 1; Value: tag = 1, simple_value = 2, histo = 5.
std::string summary_event(double wall_time, int64_t step, const NamedScalars& scalars, const NamedArrays& arrays) {
  std::string summary;
  for (const auto& [name, number] : scalars) {
    std::string value;
    append_bytes(value, 1, name);
    append_float(value, 2, static_cast<float>(number));
    append_bytes(summary, 1, value);
  }
  for (const auto& [name, numbers] : arrays) {
    std::vector<double> finite;
    std::copy_if(numbers.begin(), numbers.end(), std::back_inserter(finite), [](double v) { return std::isfinite(v); });
    if (finite.empty()) continue;
    std::string value;
    append_bytes(value, 1, name);
    append_bytes(value, 5, histogram(finite));
    append_bytes(summary, 1, value);
  }
  std::string event = event_header(wall_time, step);
  append_bytes(event, 5, summary);
  return event;
}

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& folder, int64_t first_step, double wall_time)
    : file_(new_file(folder, wall_time), AppendFile::Open::must_be_new) {
  file_.append(tfrecord_frame(file_version_event(wall_time)));
  file_.append(tfrecord_frame(session_start_event(wall_time, first_step)));
}

void TensorBoardWriter::write(double wall_time, int64_t step, const NamedScalars& scalars, const NamedArrays& arrays) {
  file_.append(tfrecord_frame(summary_event(wall_time, step, scalars, arrays)));
}

}  // namespace fathom
