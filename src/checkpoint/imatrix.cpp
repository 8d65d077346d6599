#include "checkpoint/imatrix.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/file/foreign.h"

namespace fathom {
namespace {

constexpr std::string_view kType = "imatrix", kSums = ".in_sum2", kCounts = ".counts";
constexpr const char *kTypeKey = "general.type", *kDatasets = "imatrix.datasets", *kChunks = "imatrix.chunk_count",
                     *kChunkSize = "imatrix.chunk_size";
constexpr int64_t kOldChunkSize = 512;  // what llama-imatrix takes when nothing is said
constexpr uint32_t kLongestName = 1024;
constexpr size_t kLeastEntry = 4 + 1 + 4 + 4 + 4;  // length, one letter, calls, n, one number

[[noreturn]] void refuse(const std::string& where, std::string_view entry, const std::string& why) {
  throw_bad_input("{}: the importance data of {} {}", where, quoted_for_message(entry), why);
}

std::vector<float> numbers(std::span<const std::byte> bytes) {
  std::vector<float> out(bytes.size() / sizeof(float));
  std::memcpy(out.data(), bytes.data(), out.size() * sizeof(float));
  return out;
}

void check_sums(const std::string& where, std::string_view entry, const std::vector<float>& sums) {
  for (float x : sums)
    if (!(x >= 0) || !std::isfinite(x)) refuse(where, entry, fmt::format("holds {}, which is no sum of squares", x));
}

// ---- the old form

class OldReader {
 public:
  OldReader(std::span<const std::byte> file, const std::string& where) : left_(file), where_(where) {}

  uint32_t number(const char* what) {
    uint32_t value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    return value;
  }
  std::span<const std::byte> take(uint64_t n, const char* what) {
    if (n > left_.size())
      throw_bad_input("{}: {} takes {} bytes, but the file ends after {} more; it is truncated or damaged", where_,
                      what, n, left_.size());
    const auto bytes = left_.first(n);
    left_ = left_.subspan(n);
    return bytes;
  }
  std::string text(uint64_t n, const char* what) {
    const auto bytes = take(n, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  size_t left() const { return left_.size(); }

 private:
  std::span<const std::byte> left_;
  const std::string& where_;
};

ImatrixEntry read_old_entry(OldReader& in, const std::string& where) {
  ImatrixEntry e;
  e.name = in.text(in.number("the length of a name"), "a name");
  const auto calls = static_cast<int32_t>(in.number("a number of calls"));
  if (calls < 0) refuse(where, e.name, fmt::format("comes of {} calls", calls));
  const uint64_t n = in.number("a count of numbers");
  if (n == 0) refuse(where, e.name, "is of no columns");
  e.mean_squares = numbers(in.take(n * sizeof(float), "importance data"));
  check_sums(where, e.name, e.mean_squares);
  if (calls > 0)
    for (float& x : e.mean_squares) x /= static_cast<float>(calls);
  e.rows = {static_cast<double>(std::max(calls, 1) * kOldChunkSize)};
  return e;
}

Imatrix parse_old(std::span<const std::byte> file, const std::string& where) {
  OldReader in(file, where);
  Imatrix imatrix{.entries = {}, .counted = false, .chunks = 0, .chunk_size = kOldChunkSize, .datasets = {}};
  const uint32_t n = in.number("the number of entries");
  if (n == 0 || n > in.left() / kLeastEntry)
    throw_bad_input("{}: is to have {} entries of importance data in {} bytes; it is truncated or damaged", where, n,
                    in.left());
  for (uint32_t i = 0; i < n; ++i) imatrix.entries.push_back(read_old_entry(in, where));
  if (in.left() >= 4) imatrix.chunks = static_cast<int32_t>(in.number("the number of calls"));
  if (in.left() >= 4) imatrix.datasets.push_back(in.text(in.number("the length of a name"), "the name of the text"));
  return imatrix;
}

// ---- GGUF

ImatrixEntry entry_of(const TensorInfo& sums, const TensorInfo* counts, const std::string& where) {
  ImatrixEntry e{.name = sums.name.substr(0, sums.name.size() - kSums.size()), .mean_squares = {}, .rows = {}};
  if (counts == nullptr) refuse(where, e.name, "comes without its counts");
  if (sums.dtype != DType::f32 || counts->dtype != DType::f32) refuse(where, e.name, "is not f32");
  e.mean_squares = numbers(sums.bytes);
  const std::vector<float> rows = numbers(counts->bytes);
  check_sums(where, e.name, e.mean_squares);
  for (float n : rows)
    if (!(n >= 0) || n != std::floor(n) || !std::isfinite(n))
      refuse(where, e.name, fmt::format("is of {} rows, which is no count", n));
  if (e.mean_squares.size() % rows.size() != 0)
    refuse(where, e.name, fmt::format("has {} sums for {} counts", e.mean_squares.size(), rows.size()));
  e.rows.assign(rows.begin(), rows.end());
  const size_t cols = e.mean_squares.size() / rows.size();
  for (size_t i = 0; i < e.mean_squares.size(); ++i)
    if (const float n = rows[i / cols]; n > 0) e.mean_squares[i] /= n;
  return e;
}

Imatrix parse_gguf_form(std::span<const std::byte> file, const std::string& where) {
  const GgufFile gguf = parse_gguf(file, where);
  if (!is_imatrix(gguf.metadata))
    throw_bad_input("{}: is a GGUF file, but none of importance data: its key 'general.type' is {}", where,
                    gguf.metadata.has(kTypeKey) ? gguf.metadata.text(kTypeKey) : "absent");
  Imatrix imatrix{.entries = {},
                  .counted = true,
                  .chunks = gguf.metadata.get_int(kChunks).value_or(0),
                  .chunk_size = gguf.metadata.get_int(kChunkSize).value_or(0),
                  .datasets = gguf.metadata.get_strings(kDatasets).value_or(std::vector<std::string>{})};
  std::unordered_map<std::string_view, const TensorInfo*> by_name;
  for (const TensorInfo& t : gguf.tensors) by_name.emplace(t.name, &t);
  const auto find = [&](const std::string& name) {
    const auto it = by_name.find(name);
    return it == by_name.end() ? nullptr : it->second;
  };
  for (const TensorInfo& t : gguf.tensors) {
    const auto other = [&](std::string_view from, std::string_view to) {
      return find(t.name.substr(0, t.name.size() - from.size()) + std::string(to));
    };
    if (t.name.ends_with(kSums))
      imatrix.entries.push_back(entry_of(t, other(kSums, kCounts), where));
    else if (!t.name.ends_with(kCounts))
      refuse(where, t.name, "is neither sums (.in_sum2) nor counts");
    else if (other(kCounts, kSums) == nullptr)
      refuse(where, t.name, "comes without its sums");
  }
  return imatrix;
}

}  // namespace

bool is_imatrix(const GgufMetadata& metadata) {
  const GgufValue* type = metadata.find(kTypeKey);
  return type != nullptr && type->type == GgufType::string && !type->is_array && type->strings[0] == kType;
}

bool is_imatrix(std::span<const std::byte> file) noexcept {
  try {
    if (looks_like_gguf(file)) return is_imatrix(parse_gguf(file, "").metadata);
  } catch (const Error&) {
    return false;
  }
  if (file.size() < 8 + kLeastEntry - 4) return false;
  uint32_t n, length;
  std::memcpy(&n, file.data(), sizeof n);
  std::memcpy(&length, file.data() + 4, sizeof length);
  if (n == 0 || n > file.size() / kLeastEntry || length == 0 || length > kLongestName || length > file.size() - 8)
    return false;
  const auto name = file.subspan(8, length);
  return std::all_of(name.begin(), name.end(), [](std::byte b) { return std::isgraph(static_cast<int>(b)) != 0; });
}

Imatrix parse_imatrix(std::span<const std::byte> file, const std::string& where) {
  const Imatrix imatrix = looks_like_gguf(file) ? parse_gguf_form(file, where) : parse_old(file, where);
  if (imatrix.entries.empty()) throw_bad_input("{}: holds importance data of no tensor", where);
  std::unordered_set<std::string_view> names;
  for (const ImatrixEntry& e : imatrix.entries)
    if (!names.insert(e.name).second) refuse(where, e.name, "is there twice");
  return imatrix;
}

void write_imatrix(const Imatrix& imatrix, const std::filesystem::path& path) {
  GgufMetadata metadata;
  metadata.set_string(kTypeKey, kType);
  metadata.set_strings(kDatasets, imatrix.datasets);
  metadata.set_u32(kChunks, static_cast<uint32_t>(imatrix.chunks));
  metadata.set_u32(kChunkSize, static_cast<uint32_t>(imatrix.chunk_size));
  std::vector<GgufTensorPlan> plan;
  for (const ImatrixEntry& e : imatrix.entries) {
    const auto n = std::ssize(e.rows);
    plan.push_back({e.name + std::string(kSums), DType::f32, {n, std::ssize(e.mean_squares) / n}});
    plan.push_back({e.name + std::string(kCounts), DType::f32, {n, 1}});
  }
  GgufWriter writer(path, metadata, std::move(plan));
  for (const ImatrixEntry& e : imatrix.entries) {
    std::vector<float> sums = e.mean_squares;
    const std::vector<float> rows(e.rows.begin(), e.rows.end());
    const size_t cols = sums.size() / rows.size();
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = static_cast<float>(sums[i] * e.rows[i / cols]);
    writer.append(std::as_bytes(std::span(sums)));
    writer.append(std::as_bytes(std::span(rows)));
  }
  writer.finish();
}

}  // namespace fathom
