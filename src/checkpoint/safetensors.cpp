#include "checkpoint/safetensors.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/file/file.h"
#include "base/file/file_name.h"
#include "base/file/foreign.h"
#include "base/json/json.h"
#include "checkpoint/shard_name.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference implementation
constexpr size_t kMaxNameBytes = 512;
constexpr size_t kMaxDims = 8;

uint64_t read_le64(std::span<const std::byte> bytes) {
  uint64_t v = 0;
  for (int i = 7; i >= 0; --i) v = v << 8 | static_cast<uint64_t>(bytes[static_cast<size_t>(i)]);
  return v;
}

std::string_view header_text(std::span<const std::byte> bytes, const std::string& file) {
  if (!looks_like_safetensors(bytes)) {
    const auto what = recognise_file(bytes);
    if (what && *what != "is a safetensors file") throw_bad_input("{}: {}", file, *what);
  }
  if (bytes.size() < 8)
    throw_bad_input("{}: truncated: has {} bytes, but a safetensors file starts with 8 bytes of header length", file,
                    bytes.size());
  const uint64_t length = read_le64(bytes), rest = bytes.size() - 8;
  if (length < 2) throw_bad_input("{}: header length is {}; a safetensors header is at least '{{}}'", file, length);
  if (length > kMaxHeaderBytes)
    throw_bad_input("{}: header length is {} bytes, at most {} are allowed; is this a safetensors file?", file, length,
                    kMaxHeaderBytes);
  if (length > rest)
    throw_bad_input("{}: truncated: the header needs {} bytes after the first 8, the file has {}", file, length, rest);
  return {reinterpret_cast<const char*>(bytes.data()) + 8, length};
}

const json::value& member(const json::object& o, std::string_view key, const std::string& where) {
  const json::value* v = o.if_contains(key);
  if (v == nullptr) throw_bad_input("{}: has no '{}'", where, key);
  return *v;
}

uint64_t unsigned_number(const json::value& v, const std::string& where, std::string_view what) {
  if (v.is_int64() && v.get_int64() >= 0) return static_cast<uint64_t>(v.get_int64());
  if (v.is_uint64()) return v.get_uint64();
  throw_bad_input("{}: {} must hold whole numbers >= 0, found {}", where, what,
                  v.is_number() ? json::serialize(v) : std::string(json_kind_name(v)));
}

std::vector<int64_t> read_shape(const json::value& v, const std::string& where) {
  if (!v.is_array()) throw_bad_input("{}: shape must be an array, found {}", where, json_kind_name(v));
  const json::array& dims = v.get_array();
  if (dims.empty() || dims.size() > kMaxDims)
    throw_bad_input("{}: shape has {} dimensions, 1 to {} are possible", where, dims.size(), kMaxDims);
  std::vector<int64_t> shape;
  for (const json::value& d : dims) {
    const uint64_t n = unsigned_number(d, where, "shape");
    if (n == 0 || n > uint64_t{1} << 48) throw_bad_input("{}: a dimension of shape is {}", where, n);
    shape.push_back(static_cast<int64_t>(n));
  }
  return shape;
}

// Product of the shape and of the element's size, or nothing when it does not fit 63 bits.
std::optional<uint64_t> shape_bytes(std::span<const int64_t> shape, DType dtype) {
  uint64_t n = static_cast<uint64_t>(info(dtype).block_bytes);
  for (int64_t d : shape)
    if (__builtin_mul_overflow(n, static_cast<uint64_t>(d), &n) || n >> 63 != 0) return std::nullopt;
  return n;
}

DType read_dtype(const json::value& v, const std::string& where) {
  if (!v.is_string()) throw_bad_input("{}: dtype must be a string, found {}", where, json_kind_name(v));
  const std::string_view text(v.get_string().data(), v.get_string().size());
  const auto dtype = dtype_from_safetensors(text);
  if (!dtype)
    throw_unsupported("{}: dtype {} is not supported; F32, F16, BF16 and F8_E4M3 are", where,
                      quoted_for_message(text, 24));
  return *dtype;
}

struct Entry {
  TensorInfo tensor;
  uint64_t begin, end;
};

Entry read_entry(std::string_view name, const json::value& v, const std::string& file) {
  if (name.empty() || name.size() > kMaxNameBytes)
    throw_bad_input("{}: a tensor's name has {} bytes, 1 to {} are possible: {}", file, name.size(), kMaxNameBytes,
                    quoted_for_message(name, 40));
  const std::string where = fmt::format("{}: tensor {}", file, quoted_for_message(name));
  if (!v.is_object()) throw_bad_input("{}: must be described by an object, found {}", where, json_kind_name(v));
  const json::object& o = v.get_object();
  for (const auto& [key, unused] : o)
    if (key != "dtype" && key != "shape" && key != "data_offsets")
      throw_bad_input("{}: unknown key {}; dtype, shape and data_offsets are known", where,
                      quoted_for_message(key, 40));
  Entry e{{.name = std::string(name),
           .dtype = read_dtype(member(o, "dtype", where), where),
           .shape = read_shape(member(o, "shape", where), where),
           .bytes = {},
           .file = file},
          0,
          0};
  const json::value& offsets = member(o, "data_offsets", where);
  if (!offsets.is_array() || offsets.get_array().size() != 2)
    throw_bad_input("{}: data_offsets must be an array of two numbers", where);
  e.begin = unsigned_number(offsets.get_array()[0], where, "data_offsets");
  e.end = unsigned_number(offsets.get_array()[1], where, "data_offsets");
  const auto need = shape_bytes(e.tensor.shape, e.tensor.dtype);
  if (!need || e.end < e.begin || e.end - e.begin != *need)
    throw_bad_input("{}: shape {} of {} needs {} bytes, but data_offsets [{}, {}] says otherwise", where,
                    shape_text(e.tensor.shape), info(e.tensor.dtype).safetensors,
                    need ? std::to_string(*need) : "more than 2^63", e.begin, e.end);
  return e;
}

void check_metadata(const json::value& v, const std::string& file) {
  if (v.is_null()) return;  // of the Rust library it is optional
  if (!v.is_object()) throw_bad_input("{}: __metadata__ must be an object, found {}", file, json_kind_name(v));
  for (const auto& [key, value] : v.get_object())
    if (!value.is_string())
      throw_bad_input("{}: __metadata__ entry {} must be a string, found {}", file, quoted_for_message(key, 40),
                      json_kind_name(value));
}

}  // namespace

std::vector<TensorInfo> parse_safetensors(std::span<const std::byte> bytes, const std::string& file) {
  const std::string_view text = header_text(bytes, file);
  const json::value header = parse_json(text, file + ": header", {.max_depth = 4});
  if (!header.is_object())
    throw_bad_input("{}: the header must be a JSON object, found {}", file, json_kind_name(header));
  std::vector<Entry> entries;
  for (const auto& [key, value] : header.get_object()) {
    if (key == "__metadata__")
      check_metadata(value, file);
    else
      entries.push_back(read_entry(key, value, file));
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.begin < b.begin; });

  const std::span<const std::byte> data = bytes.subspan(8 + text.size());
  std::vector<TensorInfo> tensors;
  uint64_t at = 0;
  for (Entry& e : entries) {
    if (e.begin != at)
      throw_bad_input("{}: tensor {} starts at byte {} of the data, but the tensor before it ends at {}: {}", file,
                      quoted_for_message(e.tensor.name), e.begin, at, e.begin < at ? "they overlap" : "there is a gap");
    if (e.end > data.size())
      throw_bad_input("{}: truncated: tensor {} ends at byte {} of the data, the file has {}", file,
                      quoted_for_message(e.tensor.name), e.end, data.size());
    e.tensor.bytes = data.subspan(e.begin, e.end - e.begin);
    at = e.end;
    tensors.push_back(std::move(e.tensor));
  }
  if (at != data.size())
    throw_bad_input("{}: the tensors take {} bytes of data, but the file has {}", file, at, data.size());
  return tensors;
}

namespace {

struct Index {
  std::map<std::string, std::set<std::string>> names_of_shard;  // in the order of the files' names
};

// A shard is named by a plain file name in the folder of the index. A symbolic link there may lead elsewhere, as in the
// cache of huggingface_hub.
void check_shard_name(const std::string& shard, const std::string& where) {
  const bool plain = !shard.empty() && shard.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos &&
                     shard != "." && shard != "..";
  if (!plain)
    throw_bad_input("{}: weight_map names the shard {}; only files beside the index are allowed", where,
                    quoted_for_message(shard));
  if (!shard.ends_with(".safetensors"))
    throw_bad_input("{}: weight_map names the shard {}; shards end in .safetensors", where, quoted_for_message(shard));
}

Index read_index(const fs::path& path) {
  const std::string where = path.string();
  const json::value doc = parse_json(read_file(path, kMaxHeaderBytes), where, {.max_depth = 4});
  if (!doc.is_object()) throw_bad_input("{}: must be a JSON object, found {}", where, json_kind_name(doc));
  for (const auto& [key, unused] : doc.get_object())
    if (key != "metadata" && key != "weight_map")
      throw_bad_input("{}: unknown key {}; metadata and weight_map are known", where, quoted_for_message(key, 40));
  const json::value& map = member(doc.get_object(), "weight_map", where);
  if (!map.is_object() || map.get_object().empty())
    throw_bad_input("{}: weight_map must be an object that is not empty", where);
  Index index;
  for (const auto& [name, shard] : map.get_object()) {
    if (!shard.is_string())
      throw_bad_input("{}: weight_map entry {} must be a file name, found {}", where, quoted_for_message(name),
                      json_kind_name(shard));
    const std::string file(shard.get_string().data(), shard.get_string().size());
    if (!index.names_of_shard.contains(file)) check_shard_name(file, where);
    index.names_of_shard[file].emplace(name);
  }
  return index;
}

void check_against_index(const std::vector<TensorInfo>& tensors, const std::string& shard,
                         const std::set<std::string>& listed, const std::string& where) {
  for (const TensorInfo& t : tensors)
    if (!listed.contains(t.name))
      throw_bad_input("{}: tensor {} lies in {} but weight_map does not place it there", where,
                      quoted_for_message(t.name), shard);
  if (listed.size() == tensors.size()) return;
  std::set<std::string> present;
  for (const TensorInfo& t : tensors) present.insert(t.name);
  for (const std::string& name : listed)
    if (!present.contains(name))
      throw_bad_input("{}: weight_map places tensor {} in {}, which does not hold it", where, quoted_for_message(name),
                      shard);
}

}  // namespace

namespace {

constexpr std::string_view kExtension = ".safetensors";

// All shards of the model that one of them belongs to.
std::vector<fs::path> shards_beside(const fs::path& one, const ShardName& name) {
  std::vector<fs::path> files;
  for (int i = 1; i <= name.count; ++i) {
    files.push_back(one.parent_path() / name.file(i, kExtension));
    if (!is_there(files.back()))
      throw_bad_input(
          "{}: is one of {} files of a sharded model, but {} is not in its folder; was the download interrupted?",
          one.string(), name.count, files.back().filename().string());
  }
  return files;
}

// The .safetensors files of a folder that has no index; none when there are none of a model.
std::vector<fs::path> files_without_index(const fs::path& folder) {
  std::vector<fs::path> files, shards;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != kExtension || name.starts_with("adapter_") || is_hidden(entry.path())) continue;
    (parse_shard_name(name, kExtension) ? shards : files).push_back(entry.path());
  }
  std::sort(shards.begin(), shards.end());
  std::sort(files.begin(), files.end());
  if (!shards.empty()) {
    const ShardName first = *parse_shard_name(shards.front().filename().string(), kExtension);
    for (const fs::path& shard : shards)
      if (const ShardName other = *parse_shard_name(shard.filename().string(), kExtension);
          other.stem != first.stem || other.count != first.count)
        throw_bad_input(
            "{}: holds shards of more than one model ({} and {}) and no {}; name a shard of the one you mean",
            folder.string(), shards.front().filename().string(), shard.filename().string(), kSafetensorsIndex);
    return shards_beside(shards.front(), first);
  }
  if (files.size() > 1)
    throw_bad_input("{}: holds {} .safetensors files ({}, {}, ...) and no {}; name the one you mean", folder.string(),
                    files.size(), files[0].filename().string(), files[1].filename().string(), kSafetensorsIndex);
  return files;
}

}  // namespace

bool holds_safetensors(const fs::path& folder) {
  return is_there(folder / kSafetensorsFile) || is_there(folder / kSafetensorsIndex) ||
         !files_without_index(folder).empty();
}

std::vector<TensorInfo> SafetensorsSource::map(const fs::path& file) {
  files_.emplace_back(file);
  return parse_safetensors(files_.back().bytes(), file.string());
}

void SafetensorsSource::open_indexed(const fs::path& folder) {
  const std::string where = (folder / kSafetensorsIndex).string();
  const Index index = read_index(where);
  for (const auto& [shard, names] : index.names_of_shard) {
    if (!is_there(folder / shard))
      throw_bad_input("{}: weight_map names {}, which is not in the folder; was the download interrupted?", where,
                      shard);
    std::vector<TensorInfo> tensors = map(folder / shard);
    check_against_index(tensors, shard, names, where);
    std::move(tensors.begin(), tensors.end(), std::back_inserter(tensors_));
  }
}

void SafetensorsSource::open_files(const std::vector<fs::path>& files) {
  for (const fs::path& file : files) {
    std::vector<TensorInfo> tensors = map(file);
    std::move(tensors.begin(), tensors.end(), std::back_inserter(tensors_));
  }
}

SafetensorsSource::SafetensorsSource(const fs::path& path) : where_(path.string()) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) {
    const auto shard = parse_shard_name(path.filename().string(), kExtension);
    open_files(shard && shard->count > 1 ? shards_beside(path, *shard) : std::vector{path});
  } else if (is_there(path / kSafetensorsFile)) {
    open_files({path / kSafetensorsFile});
  } else if (is_there(path / kSafetensorsIndex)) {
    open_indexed(path);
  } else {
    const std::vector<fs::path> files = files_without_index(path);
    if (files.empty()) throw_bad_input("{}: holds neither {} nor {}", where_, kSafetensorsFile, kSafetensorsIndex);
    open_files(files);
  }
  by_name_.reserve(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const auto [other, is_new] = by_name_.emplace(tensors_[i].name, i);
    if (!is_new)
      throw_bad_input("{}: tensor {} lies in {} too", tensors_[i].file, quoted_for_message(tensors_[i].name),
                      tensors_[other->second].file);
  }
}

const TensorInfo* SafetensorsSource::find(std::string_view name) const noexcept {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &tensors_[it->second];
}

}  // namespace fathom
