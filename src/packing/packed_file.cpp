#include "packing/packed_file.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/machine/huge_pages.h"
#include "base/progress.h"
#include "base/round.h"
#include "base/xxh64.h"
#include "kernels/packed_weight.h"
#include "tensor/buffer.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "numbers are used as they lie in the file");

constexpr std::string_view kMagic = "FTHMPNL\n";
constexpr uint32_t kVersion = 1;
constexpr size_t kSampleBytes = 4096, kSamples = 64;

// The beginning of the header as it stands in the file.
struct RawHeader {
  std::array<char, 8> magic;
  uint32_t version, layout;
  uint64_t fingerprint, file_bytes, header_bytes, n_tensors, checksum;
};
static_assert(sizeof(RawHeader) == 56);

// A tensor without its name.
struct RawTensor {
  uint32_t type, zero;
  int64_t rows, cols;
  uint64_t offset, checksum;
};
static_assert(sizeof(RawTensor) == 40);

constexpr uint64_t kMinTensorRecord = 8 + 8 + sizeof(RawTensor);

uint64_t header_checksum(std::span<const std::byte> header) {
  Xxh64 hash;
  hash.update(header.first(offsetof(RawHeader, checksum)));
  hash.update(header.subspan(sizeof(RawHeader)));
  return hash.digest();
}

uint64_t text_bytes(std::string_view text) noexcept { return 8 + rounded_up(text.size(), 8); }

uint64_t header_bytes(const PackedHeader& h) noexcept {
  uint64_t n = sizeof(RawHeader) + text_bytes(h.model);
  for (const PackedTensor& t : h.tensors) n += text_bytes(t.name) + sizeof(RawTensor);
  return n;
}

template <class T>
void append(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_text(std::string& out, std::string_view text) {
  append(out, uint64_t{text.size()});
  out.append(text);
  out.resize(rounded_up(out.size(), 8), '\0');
}

[[noreturn]] void throw_damaged(const std::string& where, std::string_view why) {
  throw_bad_input("{}: is a damaged file of packed weights ({}); it may be deleted", where, why);
}

// A place in the header, never beyond its end.
class Cursor {
 public:
  Cursor(std::span<const std::byte> header, const std::string& where) : rest_(header), where_(where) {}

  template <class T>
  T take() {
    T value;
    std::memcpy(&value, take_bytes(sizeof value).data(), sizeof value);
    return value;
  }
  std::string text() {
    const auto length = take<uint64_t>();
    if (length > rest_.size()) throw_damaged(where_, "a text is longer than the header");
    const auto bytes = take_bytes(rounded_up(length, 8));
    return {reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(length)};
  }

 private:
  std::span<const std::byte> take_bytes(uint64_t n) {
    if (n > rest_.size()) throw_damaged(where_, "the header ends early");
    const auto bytes = rest_.first(n);
    rest_ = rest_.subspan(n);
    return bytes;
  }

  std::span<const std::byte> rest_;
  const std::string& where_;
};

RawHeader read_raw_header(std::span<const std::byte> bytes, uint64_t file_bytes, const std::string& where) {
  RawHeader raw{};
  if (bytes.size() >= sizeof raw) std::memcpy(&raw, bytes.data(), sizeof raw);
  if (bytes.size() < sizeof raw || std::string_view(raw.magic.data(), raw.magic.size()) != kMagic)
    throw_bad_input("{}: is no file of packed weights (it does not begin with FTHMPNL); it may be deleted", where);
  if (raw.version != kVersion || raw.layout != kPackedLayoutVersion)
    throw_unsupported(
        "{}: is a file of packed weights of version {}, layout {}; this fathom uses version {}, layout {}; it may be "
        "deleted",
        where, raw.version, raw.layout, kVersion, kPackedLayoutVersion);
  if (raw.file_bytes != file_bytes)
    throw_damaged(where, fmt::format("it has {} bytes, {} were written", file_bytes, raw.file_bytes));
  if (raw.header_bytes < sizeof raw || raw.header_bytes > bytes.size() ||
      header_checksum(bytes.first(raw.header_bytes)) != raw.checksum)
    throw_damaged(where, "the checksum of its header differs");
  if (raw.n_tensors > raw.header_bytes / kMinTensorRecord) throw_damaged(where, "it has no room for its tensors");
  return raw;
}

// Of a tensor's type in the file: ggml's number, and one of ours for the type that ggml has not.
constexpr uint32_t kF8E4m3 = 0x8E43;
uint32_t type_number(DType dtype) noexcept {
  return dtype == DType::f8_e4m3 ? kF8E4m3 : static_cast<uint32_t>(info(dtype).ggml_type);
}
std::optional<DType> type_of(uint32_t number) noexcept {
  return number == kF8E4m3 ? DType::f8_e4m3 : dtype_from_ggml(number);
}

PackedTensor read_tensor(Cursor& in, const std::string& where) {
  PackedTensor t;
  t.name = in.text();
  const auto raw = in.take<RawTensor>();
  const auto dtype = type_of(raw.type);
  const auto format = dtype ? packed_format(*dtype) : std::nullopt;
  constexpr int64_t kMost = int64_t{1} << 40;
  int64_t bytes = 0;
  if (!format || raw.zero != 0 || raw.rows < 1 || raw.rows > kMost || raw.cols < 1 || raw.cols > kMost ||
      raw.cols % (kPackedBlock * format->blocks) != 0 ||
      __builtin_mul_overflow(n_strips(raw.rows), strip_bytes(*dtype, raw.cols), &bytes))
    throw_damaged(where, fmt::format("type or shape of {}", quoted_for_message(t.name)));
  t.dtype = *dtype;
  t.rows = raw.rows;
  t.cols = raw.cols;
  t.offset = raw.offset;
  t.checksum = raw.checksum;
  return t;
}

void make_room(const fs::path& folder, uint64_t bytes) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw_bad_input("{}: cannot be made: {}", folder.string(), error.message());
  remove_abandoned_in(folder, kPackedFileExtension);
  const fs::space_info space = fs::space(folder, error);
  if (!error && space.available < bytes)
    throw_resource("{}: a file of packed weights needs {}, the disk has {} free", folder.string(),
                   human_bytes(static_cast<double>(bytes)), human_bytes(static_cast<double>(space.available)));
}

}  // namespace

uint64_t PackedTensor::bytes() const noexcept {
  return static_cast<uint64_t>(n_strips(rows) * strip_bytes(dtype, cols));
}

void place_tensors(PackedHeader& h) {
  uint64_t at = rounded_up(header_bytes(h), kHugePage);
  for (PackedTensor& t : h.tensors) {
    t.offset = at;
    at += rounded_up(t.bytes(), kPackedAlign);
  }
  h.file_bytes = at;
}

std::string packed_header_bytes(const PackedHeader& h) {
  RawHeader raw{.magic = {},
                .version = kVersion,
                .layout = kPackedLayoutVersion,
                .fingerprint = h.fingerprint,
                .file_bytes = h.file_bytes,
                .header_bytes = header_bytes(h),
                .n_tensors = h.tensors.size(),
                .checksum = 0};
  std::copy(kMagic.begin(), kMagic.end(), raw.magic.begin());
  std::string out;
  append(out, raw);
  append_text(out, h.model);
  for (const PackedTensor& t : h.tensors) {
    append_text(out, t.name);
    append(out, RawTensor{.type = type_number(t.dtype),
                          .zero = 0,
                          .rows = t.rows,
                          .cols = t.cols,
                          .offset = t.offset,
                          .checksum = t.checksum});
  }
  raw.checksum = header_checksum(std::as_bytes(std::span(out)));
  std::memcpy(out.data(), &raw, sizeof raw);
  return out;
}

PackedHeader parse_packed_header(std::span<const std::byte> bytes, uint64_t file_bytes, const std::string& where) {
  const RawHeader raw = read_raw_header(bytes, file_bytes, where);
  Cursor in(bytes.first(raw.header_bytes), where);
  in.take<RawHeader>();
  PackedHeader h{.fingerprint = raw.fingerprint, .file_bytes = raw.file_bytes, .model = in.text(), .tensors = {}};
  // Sizes are added with care, so that placing the tensors cannot overflow.
  uint64_t total = rounded_up(raw.header_bytes, kHugePage);
  for (uint64_t i = 0; i < raw.n_tensors; ++i) {
    h.tensors.push_back(read_tensor(in, where));
    const uint64_t room = rounded_up(h.tensors.back().bytes(), kPackedAlign);
    if (room > file_bytes || total > file_bytes - room) throw_damaged(where, "tensors lie beyond its end");
    total += room;
  }
  PackedHeader placed = h;
  place_tensors(placed);
  const std::string whole = packed_header_bytes(placed);
  if (!std::ranges::equal(std::as_bytes(std::span(whole)), bytes.first(raw.header_bytes)))
    throw_damaged(where, "its header is not the one that its tensors need");
  return h;
}

std::optional<uint64_t> packed_fingerprint(const TensorSource* source, std::span<const NamedWeight> weights) {
  if (source == nullptr || weights.empty()) return std::nullopt;
  const std::span<const MappedFile> files = source->files();
  Xxh64 hash;
  const auto add = [&](const auto& value) { hash.update(std::as_bytes(std::span(&value, 1))); };
  add(kPackedLayoutVersion);
  for (const MappedFile& f : files) add(f.identity());
  const size_t every = (weights.size() + kSamples - 1) / kSamples;
  for (size_t i = 0; i < weights.size(); ++i) {
    const Weight& w = *weights[i].weight;
    const std::span<const std::byte> bytes(w.data, static_cast<size_t>(w.rows * w.bytes_per_row()));
    const auto file = std::find_if(files.begin(), files.end(), [&](const MappedFile& f) {
      const auto all = f.bytes();
      return bytes.data() >= all.data() && bytes.data() + bytes.size() <= all.data() + all.size();
    });
    if (file == files.end()) return std::nullopt;
    add(uint64_t{weights[i].name.size()});
    hash.update(std::as_bytes(std::span(weights[i].name)));
    add(std::array<int64_t, 5>{info(w.dtype).ggml_type, w.rows, w.cols, file - files.begin(),
                               bytes.data() - file->bytes().data()});
    if (i % every == 0) hash.update(bytes.subspan(bytes.size() / 2, std::min(kSampleBytes, bytes.size() / 2)));
  }
  return hash.digest();
}

fs::path packed_file_path(const fs::path& folder, uint64_t fingerprint) {
  return folder / (hash_text(fingerprint) + kPackedFileExtension);
}

PackedFile::PackedFile(const fs::path& path)
    : file_(path), header_(parse_packed_header(file_.bytes(), file_.bytes().size(), path.string())) {
  advise_huge(file_.bytes());
}

std::span<const std::byte> PackedFile::packed(const PackedTensor& t) const noexcept {
  return file_.bytes().subspan(t.offset, t.bytes());
}

void PackedFile::verify(ThreadPool& pool, const ProgressFn& progress) const {
  const auto& tensors = header_.tensors;
  const auto total = static_cast<int64_t>(header_.file_bytes);
  std::atomic<int64_t> done{0}, damaged{-1};
  pool.for_each_task(std::ssize(tensors), [&](int thread, int64_t i) {
    const PackedTensor& t = tensors[static_cast<size_t>(i)];
    if (xxh64(packed(t)) != t.checksum) damaged = i;
    done += static_cast<int64_t>(t.bytes());
    if (thread == 0 && progress) progress(std::min<int64_t>(done, total - 1), total);
  });
  if (progress) progress(total, total);
  if (damaged >= 0)
    throw_damaged(path().string(), fmt::format("the checksum of {} differs",
                                               quoted_for_message(tensors[static_cast<size_t>(damaged.load())].name)));
}

void PackedFile::attach(uint64_t fingerprint, std::span<const NamedWeight> weights) const {
  const auto fits = [](const PackedTensor& t, const NamedWeight& p) {
    return t.name == p.name && t.dtype == p.weight->dtype && t.rows == p.weight->rows && t.cols == p.weight->cols;
  };
  const auto& tensors = header_.tensors;
  if (header_.fingerprint != fingerprint ||
      !std::equal(tensors.begin(), tensors.end(), weights.begin(), weights.end(), fits))
    throw_bad_input("{}: holds the packed weights of another model; it may be deleted", path().string());
  for (size_t i = 0; i < tensors.size(); ++i) weights[i].weight->packed = packed(tensors[i]).data();
}

void write_packed_file(ThreadPool& pool, const fs::path& path, const fs::path& model, uint64_t fingerprint,
                       std::span<const NamedWeight> weights, const PackedWeights::ProgressFn& progress) {
  std::error_code no_folder;  // then the path is kept as it is
  const fs::path full = fs::absolute(model, no_folder).lexically_normal();
  PackedHeader header{
      .fingerprint = fingerprint, .file_bytes = 0, .model = (no_folder ? model : full).string(), .tensors = {}};
  uint64_t largest = 0;
  for (const auto& [name, w] : weights) {
    header.tensors.push_back(
        {.name = name, .dtype = w->dtype, .rows = w->rows, .cols = w->cols, .offset = 0, .checksum = 0});
    largest = std::max(largest, header.tensors.back().bytes());
  }
  place_tensors(header);
  make_room(path.parent_path(), header.file_bytes);
  FileWriter out(path, Partial::own);
  out.write(packed_header_bytes(header));  // to keep its place: checksums are known at the end
  out.pad_to(kHugePage);
  Buffer<std::byte> packed(static_cast<int64_t>(largest));
  for (size_t i = 0; i < weights.size(); ++i) {
    PackedTensor& t = header.tensors[i];
    const std::span<const std::byte> bytes(packed.data(), t.bytes());
    pack_weight(pool, *weights[i].weight, packed.data());
    t.checksum = xxh64(bytes);
    out.write(bytes);
    out.pad_to(kPackedAlign);
    if (progress) progress(static_cast<int64_t>(out.position()), static_cast<int64_t>(header.file_bytes));
  }
  check(out.position() == header.file_bytes, "the packed weights lie where they were placed");
  const std::string whole = packed_header_bytes(header);
  out.overwrite(0, std::as_bytes(std::span(whole)));
  out.commit();
}

}  // namespace fathom
