#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "base/error.h"
#include "base/file/foreign.h"
#include "base/text/utf8.h"
#include "checkpoint/ggml_types.h"
#include "checkpoint/gguf.h"
#include "quant/recipe.h"

namespace fathom {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are used as they lie in the file");

constexpr uint64_t kMaxKeyBytes = 65535;                      // gguf.md
constexpr uint64_t kMaxNameBytes = 1024;                      // gguf.md says 64; other writers go beyond
constexpr uint32_t kMaxDims = 4;                              // gguf.md
constexpr uint64_t kMinKeyRecord = 8 + 1 + 4 + 1;             // length, one byte, type, the smallest value
constexpr uint64_t kMinTensorRecord = 8 + 1 + 4 + 8 + 4 + 8;  // length, one byte, n_dims, one dimension, type, offset
constexpr uint64_t kDefaultAlignment = 32;

// A place in the file, never beyond its end. What is read is named only when it fails: `what` ("the value of key"),
// `whose` ("'a.b'").
class Cursor {
 public:
  Cursor(std::span<const std::byte> file, const std::string& where) : file_(file), where_(where) {}

  uint64_t position() const noexcept { return at_; }
  uint64_t left() const noexcept { return file_.size() - at_; }

  std::string_view take(uint64_t n, const char* what, std::string_view whose) {
    if (n > left()) fail(n, what, whose);
    const char* begin = reinterpret_cast<const char*>(file_.data()) + at_;
    at_ += n;
    return {begin, static_cast<size_t>(n)};
  }

  template <class T>
  T number(const char* what, std::string_view whose) {
    T value;
    std::memcpy(&value, take(sizeof(T), what, whose).data(), sizeof(T));
    return value;
  }

  std::string_view string(const char* what, std::string_view whose) {
    const auto length = number<uint64_t>(what, whose);
    return take(length, what, whose);
  }

 private:
  [[noreturn]] void fail(uint64_t n, const char* what, std::string_view whose) const {
    throw_bad_input("{}: {}{}{} at byte {} takes {} bytes, but the file ends after {} more; it is truncated or damaged",
                    where_, what, whose.empty() ? "" : " ", whose.empty() ? "" : quoted_for_message(whose), at_, n,
                    left());
  }

  std::span<const std::byte> file_;
  const std::string& where_;
  uint64_t at_ = 0;
};

struct Header {
  uint32_t version;
  uint64_t n_tensors, n_keys;
};

Header read_header(Cursor& in, std::span<const std::byte> file, const std::string& where) {
  if (!looks_like_gguf(file)) {
    throw_bad_input("{}: {}. A GGUF file, which begins with the letters GGUF, is needed here", where,
                    recognise_file(file).value_or("is no GGUF file"));
  }
  in.take(4, "the magic", "");
  Header h{};
  h.version = in.number<uint32_t>("the version", "");
  if ((h.version & 0xFFFFu) == 0 && h.version != 0) {
    throw_unsupported(
        "{}: is a big-endian GGUF file; fathom reads little-endian ones. Convert it (gguf-convert-endian of PyPI gguf) "
        "or download the little-endian file",
        where);
  }
  if (h.version == 1)
    throw_unsupported(
        "{}: is GGUF version 1 of August 2023; fathom reads versions 2 and 3. Convert the original checkpoint again",
        where);
  if (h.version != 2 && h.version != 3)
    throw_unsupported("{}: is GGUF version {}; fathom reads versions 2 and 3", where, h.version);
  h.n_tensors = in.number<uint64_t>("the number of tensors", "");
  h.n_keys = in.number<uint64_t>("the number of keys", "");
  const auto check_count = [&](uint64_t n, uint64_t least, const char* what) {
    if (n > in.left() / least) {
      throw_bad_input(
          "{}: its header names {} {}, which need at least {} bytes each, but only {} bytes follow; it is truncated or "
          "damaged",
          where, n, what, least, in.left());
    }
  };
  check_count(h.n_keys, kMinKeyRecord, "keys");
  check_count(h.n_tensors, kMinTensorRecord, "tensors");
  return h;
}

uint64_t scalar_bytes(GgufType type) noexcept {
  constexpr std::array<uint8_t, 13> kBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};  // string, array: 0
  return kBytes[static_cast<size_t>(type)];
}

GgufType read_type(Cursor& in, std::string_view key, const std::string& where) {
  const auto type = in.number<uint32_t>("the type of key", key);
  if (type > static_cast<uint32_t>(GgufType::f64))
    throw_bad_input("{}: key {} has value type {}; types 0 to 12 exist", where, quoted_for_message(key), type);
  return static_cast<GgufType>(type);
}

GgufValue read_value(Cursor& in, std::string_view key, const std::string& where) {
  GgufValue v;
  v.type = read_type(in, key, where);
  uint64_t count = 1;
  if (v.type == GgufType::array) {
    v.is_array = true;
    v.type = read_type(in, key, where);
    if (v.type == GgufType::array)
      throw_unsupported("{}: key {} is an array of arrays; fathom reads arrays of numbers and of strings", where,
                        quoted_for_message(key));
    count = in.number<uint64_t>("the length of key", key);
  }
  const uint64_t least = v.type == GgufType::string ? 8 : scalar_bytes(v.type);
  if (count > in.left() / least) {
    throw_bad_input("{}: key {} has {} values of type {}, but only {} bytes follow; the file is truncated or damaged",
                    where, quoted_for_message(key), count, name(v.type), in.left());
  }
  if (v.type == GgufType::string) {
    v.strings.reserve(count);
    for (uint64_t i = 0; i < count; ++i) v.strings.emplace_back(in.string("the value of key", key));
  } else {
    v.bytes = in.take(count * least, "the value of key", key);
  }
  const auto is_no_bool = [](char byte) { return byte != 0 && byte != 1; };
  if (v.type == GgufType::boolean && std::any_of(v.bytes.begin(), v.bytes.end(), is_no_bool))
    throw_bad_input("{}: key {} holds a bool that is neither 0 nor 1", where, quoted_for_message(key));
  return v;
}

void check_name(std::string_view text, uint64_t max_bytes, const char* what, uint64_t number,
                const std::string& where) {
  if (text.empty()) throw_bad_input("{}: {} number {} is empty", where, what, number);
  if (text.size() > max_bytes) {
    throw_bad_input("{}: {} number {} has {} bytes; at most {} are allowed: {}", where, what, number, text.size(),
                    max_bytes, quoted_for_message(text));
  }
  if (find_invalid_utf8(text) != std::string_view::npos)
    throw_bad_input("{}: {} number {} is no valid UTF-8: {}", where, what, number, quoted_for_message(text));
}

void read_metadata(Cursor& in, uint64_t n_keys, GgufMetadata& metadata) {
  const std::string& where = metadata.where();
  for (uint64_t i = 0; i < n_keys; ++i) {
    const std::string_view key = in.string("key number", fmt::format("{}", i));
    check_name(key, kMaxKeyBytes, "key", i, where);
    if (metadata.has(key)) throw_bad_input("{}: key {} occurs twice", where, quoted_for_message(key));
    metadata.set(key, read_value(in, key, where));
  }
}

uint64_t alignment_of(const GgufMetadata& metadata) {
  const auto alignment = metadata.get_int("general.alignment");
  if (!alignment) return kDefaultAlignment;
  if (*alignment <= 0 || !std::has_single_bit(static_cast<uint64_t>(*alignment)))
    throw_bad_input("{}: key 'general.alignment' is {}; a power of two is needed", metadata.where(), *alignment);
  return static_cast<uint64_t>(*alignment);
}

// A tensor record, and where its bytes lie, relative to the data section.
struct TensorRecord {
  TensorInfo info;
  uint64_t offset = 0, bytes = 0;
};

DType element_type(uint32_t ggml_type, std::string_view tensor, const std::string& where) {
  const auto dtype = dtype_from_ggml(ggml_type);
  if (dtype) return *dtype;
  const auto foreign = foreign_type(ggml_type);
  throw_unsupported("{}: tensor {} has element type {}{}. {}; fathom reads {}", where, quoted_for_message(tensor),
                    ggml_type, foreign ? fmt::format(" ({}), {}", foreign->name, foreign->kind) : ", which has no name",
                    foreign ? foreign->advice : "Quantise the original checkpoint", gguf_dtype_names());
}

// Dimensions innermost first; their product is the number of elements.
std::vector<int64_t> read_shape(Cursor& in, std::string_view tensor, const std::string& where) {
  const auto n_dims = in.number<uint32_t>("the number of dimensions of tensor", tensor);
  if (n_dims == 0 || n_dims > kMaxDims)
    throw_bad_input("{}: tensor {} has {} dimensions; 1 to {} are needed", where, quoted_for_message(tensor), n_dims,
                    kMaxDims);
  std::vector<int64_t> shape(n_dims);
  int64_t elements = 1;
  for (int64_t& dim : shape) {
    dim = in.number<int64_t>("a dimension of tensor", tensor);
    if (dim <= 0) {
      throw_bad_input("{}: tensor {} has a dimension of {}; at least 1 and less than 2^63 is needed", where,
                      quoted_for_message(tensor), static_cast<uint64_t>(dim));
    }
    if (__builtin_mul_overflow(elements, dim, &elements))
      throw_bad_input("{}: the dimensions of tensor {} multiply to more than 2^63 elements", where,
                      quoted_for_message(tensor));
  }
  std::reverse(shape.begin(), shape.end());
  return shape;
}

TensorRecord read_tensor(Cursor& in, uint64_t number, const std::string& where) {
  TensorRecord r;
  const std::string_view tensor = in.string("the name of tensor number", fmt::format("{}", number));
  check_name(tensor, kMaxNameBytes, "the name of tensor", number, where);
  r.info.name = tensor;
  r.info.file = where;
  r.info.shape = read_shape(in, tensor, where);
  r.info.dtype = element_type(in.number<uint32_t>("the type of tensor", tensor), tensor, where);
  const DTypeInfo& type = info(r.info.dtype);
  if (r.info.shape.back() % type.block_elements != 0) {
    throw_bad_input("{}: tensor {} has rows of {} elements, but {} is stored in blocks of {}", where,
                    quoted_for_message(tensor), r.info.shape.back(), type.name, type.block_elements);
  }
  const auto blocks = static_cast<uint64_t>(r.info.elements() / type.block_elements);
  if (__builtin_mul_overflow(blocks, static_cast<uint64_t>(type.block_bytes), &r.bytes))
    throw_bad_input("{}: tensor {} of shape {} is larger than any file", where, quoted_for_message(tensor),
                    shape_text(r.info.shape));
  r.offset = in.number<uint64_t>("the offset of tensor", tensor);
  return r;
}

// Points the tensor at its bytes. data_begin is the start of the data section, at most 2^63.
void place_tensor(TensorRecord& r, uint64_t data_begin, uint64_t alignment, std::span<const std::byte> file) {
  if (r.offset % alignment != 0) {
    throw_bad_input("{}: tensor {} lies at offset {}, which is no multiple of the alignment {}", r.info.file,
                    quoted_for_message(r.info.name), r.offset, alignment);
  }
  uint64_t begin = 0, end = 0;
  if (__builtin_add_overflow(data_begin, r.offset, &begin) || __builtin_add_overflow(begin, r.bytes, &end) ||
      end > file.size()) {
    throw_bad_input(
        "{}: tensor {} needs {} bytes from offset {} of the data (which starts at byte {}), but the file has {}; it is "
        "truncated or damaged: download or convert it again",
        r.info.file, quoted_for_message(r.info.name), r.bytes, r.offset, data_begin, file.size());
  }
  r.info.bytes = file.subspan(begin, r.bytes);
}

void check_no_overlap(const std::vector<TensorRecord>& records) {
  std::vector<const TensorRecord*> by_offset;
  by_offset.reserve(records.size());
  for (const TensorRecord& r : records) by_offset.push_back(&r);
  std::sort(by_offset.begin(), by_offset.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < by_offset.size(); ++i) {
    const TensorRecord &a = *by_offset[i - 1], &b = *by_offset[i];
    if (a.offset + a.bytes > b.offset) {
      throw_bad_input("{}: tensors {} and {} overlap: bytes {} to {} and {} to {} of the data", a.info.file,
                      quoted_for_message(a.info.name), quoted_for_message(b.info.name), a.offset, a.offset + a.bytes,
                      b.offset, b.offset + b.bytes);
    }
  }
}

std::vector<TensorInfo> read_tensors(Cursor& in, uint64_t n_tensors, uint64_t alignment,
                                     std::span<const std::byte> file, const std::string& where) {
  std::vector<TensorRecord> records;
  records.reserve(n_tensors);
  std::unordered_set<std::string_view> names;
  for (uint64_t i = 0; i < n_tensors; ++i) {
    records.push_back(read_tensor(in, i, where));
    if (!names.insert(records.back().info.name).second)
      throw_bad_input("{}: tensor {} occurs twice", where, quoted_for_message(records.back().info.name));
  }
  const uint64_t over = in.position() % alignment;
  const uint64_t data_begin = in.position() + (over == 0 ? 0 : alignment - over);  // both below 2^63: no overflow
  for (TensorRecord& r : records) place_tensor(r, data_begin, alignment, file);
  check_no_overlap(records);
  std::vector<TensorInfo> tensors;
  tensors.reserve(records.size());
  for (TensorRecord& r : records) tensors.push_back(std::move(r.info));
  return tensors;
}

}  // namespace

GgufFile parse_gguf(std::span<const std::byte> file, const std::string& where) {
  Cursor in(file, where);
  const Header header = read_header(in, file, where);
  GgufFile out{.version = header.version, .metadata = GgufMetadata(where), .tensors = {}};
  read_metadata(in, header.n_keys, out.metadata);
  out.tensors = read_tensors(in, header.n_tensors, alignment_of(out.metadata), file, where);
  return out;
}

bool looks_like_gguf(const std::filesystem::path& path) {
  try {
    const MappedFile file(path);
    return looks_like_gguf(file.bytes());
  } catch (const Error&) {
    return false;
  }
}

}  // namespace fathom
