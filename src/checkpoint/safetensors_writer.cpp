#include <algorithm>

#include "base/error.h"
#include "base/file/file_name.h"
#include "base/json/json.h"
#include "checkpoint/safetensors.h"

namespace fathom {

namespace fs = std::filesystem;

uint64_t PlannedTensor::bytes() const noexcept {
  uint64_t n = static_cast<uint64_t>(info(dtype).block_bytes);
  for (int64_t d : shape) n *= static_cast<uint64_t>(d);
  return n;
}

namespace {

std::string header_of(std::span<const PlannedTensor> tensors) {
  json::object header;
  header["__metadata__"] = json::object{{"format", "pt"}};  // transformers refuses a file without it
  uint64_t at = 0;
  for (const PlannedTensor& t : tensors) {
    json::array shape(t.shape.begin(), t.shape.end());
    header[t.name] = json::object{{"dtype", json::string(info(t.dtype).safetensors)},
                                  {"shape", std::move(shape)},
                                  {"data_offsets", json::array{at, at + t.bytes()}}};
    at += t.bytes();
  }
  std::string text = json::serialize(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const fs::path& path, std::vector<PlannedTensor> plan, uint64_t max_shard_bytes)
    : plan_(std::move(plan)) {
  for (const PlannedTensor& t : plan_)
    check(!info(t.dtype).safetensors.empty(), "safetensors has a name for the element type");
  const bool one_file = has_extension(path, ".safetensors");
  split_into_shards(one_file ? UINT64_MAX : max_shard_bytes);
  for (const Shard& s : shards_) {
    const auto begin = plan_.begin() + static_cast<std::ptrdiff_t>(s.first),
               end = plan_.begin() + static_cast<std::ptrdiff_t>(s.end);
    std::stable_sort(begin, end, [](const PlannedTensor& a, const PlannedTensor& b) {
      return info(a.dtype).block_bytes > info(b.dtype).block_bytes;
    });
  }
  name_shards(path);
  open_shard();
}

void SafetensorsWriter::split_into_shards(uint64_t max_shard_bytes) {
  shards_.push_back({{}, 0, 0, 0});
  for (size_t i = 0; i < plan_.size(); ++i) {
    const uint64_t bytes = plan_[i].bytes();
    if (shards_.back().bytes > 0 && shards_.back().bytes + bytes > max_shard_bytes) shards_.push_back({{}, i, i, 0});
    shards_.back().bytes += bytes;
    shards_.back().end = i + 1;
  }
}

void SafetensorsWriter::name_shards(const fs::path& path) {
  if (has_extension(path, ".safetensors")) {
    shards_[0].path = path;
    return;
  }
  std::error_code failed;
  fs::create_directories(path, failed);
  if (failed) throw_bad_input("{}: the folder cannot be made: {}", path.string(), failed.message());
  folder_ = path;
  for (size_t i = 0; i < shards_.size(); ++i)
    shards_[i].path =
        path / (shards_.size() == 1 ? std::string(kSafetensorsFile)
                                    : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards_.size()));
}

SafetensorsWriter::~SafetensorsWriter() {
  if (done_) return;
  std::error_code ignored;
  for (size_t i = 0; i < shard_; ++i) fs::remove(shards_[i].path, ignored);
}

void SafetensorsWriter::open_shard() {
  const Shard& s = shards_[shard_];
  file_ = std::make_unique<FileWriter>(s.path);
  const std::string header = header_of(std::span(plan_).subspan(s.first, s.end - s.first));
  std::array<std::byte, 8> length;
  for (size_t i = 0; i < 8; ++i) length[i] = static_cast<std::byte>(header.size() >> (8 * i));
  file_->write(length);
  file_->write(header);
  left_ = s.bytes;
}

void SafetensorsWriter::close_shard() {
  file_->commit();
  file_.reset();
  ++shard_;
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    check(shard_ < shards_.size() && file_, "no more bytes than the plan has");
    const size_t n = std::min<uint64_t>(left_, bytes.size());
    file_->write(bytes.first(n));
    bytes = bytes.subspan(n);
    left_ -= n;
    if (left_ > 0) continue;
    close_shard();
    if (shard_ < shards_.size()) open_shard();
  }
}

void SafetensorsWriter::write_index() const {
  json::object map;
  uint64_t total = 0;
  for (const Shard& s : shards_) {
    total += s.bytes;
    for (size_t i = s.first; i < s.end; ++i) map[plan_[i].name] = json::string(s.path.filename().string());
  }
  FileWriter file(folder_ / kSafetensorsIndex);
  file.write(
      to_pretty_json(json::object{{"metadata", json::object{{"total_size", total}}}, {"weight_map", std::move(map)}}));
  file.commit();
}

void SafetensorsWriter::commit() {
  if (plan_.empty() && file_) close_shard();
  check(shard_ == shards_.size(), "every byte of the plan was written");
  if (shards_.size() > 1) write_index();
  done_ = true;
}

}  // namespace fathom
