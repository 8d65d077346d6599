#include "convert/write.h"

#include <algorithm>
#include <atomic>
#include <numeric>

#include "base/error.h"
#include "quant/encode.h"

namespace fathom {
namespace {

constexpr int64_t kChunkBytes = int64_t{32} << 20;  // encoded at once, before it is written
constexpr int64_t kUnitElements =
    int64_t{64} << 10;  // what one thread decodes and encodes at once: 256 KB of float32, within its cache

class PieceWriter {
 public:
  PieceWriter(ThreadPool& pool, const Rows& rows, DType dtype, const std::string& name, const Encoding& encoding)
      : pool_(pool),
        rows_(rows),
        dtype_(dtype),
        name_(name),
        row_bytes_(row_bytes(dtype, rows.cols)),
        search_(encoding.search) {
    if (encoding.importance != nullptr && search_ == Search::thorough) columns_ = encoding.importance->find(name);
    if (columns_.cols != 0 && (columns_.cols != rows.cols || rows.rows % columns_.groups != 0))
      throw_bad_input(
          "the importance data of {} is for {} x {} columns, but the tensor has {} of {} rows; was it made for another "
          "model?",
          name, columns_.groups, columns_.cols, rows.cols, rows.rows);
  }

  bool is_stored() const { return rows_.stored_row != nullptr && rows_.origin == dtype_; }

  template <class Sink>
  void copy(Sink&& sink) const {
    const auto bytes = static_cast<size_t>(row_bytes_);
    for (int64_t i = 0; i < rows_.rows; ++i) sink(std::span(rows_.stored_row(i), bytes));
  }

  // Chunk by chunk; scales (of f8_e4m3, one row of them for each 128 rows) go to `sink` instead of the rows when asked
  // for.
  template <class Sink>
  void encode(bool scales, Sink&& sink) const {
    const bool f8 = dtype_ == DType::f8_e4m3;
    const int64_t step = std::lcm(rows_.stripe, f8 ? kFp8Block : 1);
    const int64_t unit = step * std::max<int64_t>(1, kUnitElements / std::max<int64_t>(1, step * rows_.cols));
    const int64_t chunk = unit * std::max<int64_t>(1, kChunkBytes / std::max<int64_t>(1, unit * row_bytes_));
    const int64_t scale_cols = (rows_.cols + kFp8Block - 1) / kFp8Block;
    std::vector<std::byte> bytes;
    std::vector<float> scale_inv;
    for (int64_t first = 0; first < rows_.rows; first += chunk) {
      const int64_t n = std::min(chunk, rows_.rows - first);
      bytes.resize(static_cast<size_t>(n * row_bytes_));
      if (f8) scale_inv.resize(static_cast<size_t>((n + kFp8Block - 1) / kFp8Block * scale_cols));
      encode_chunk(first, n, unit, bytes.data(), scale_inv.data());
      if (scales)
        sink(std::as_bytes(std::span(scale_inv)));
      else
        sink(std::span<const std::byte>(bytes));
    }
  }

 private:
  void encode_chunk(int64_t first, int64_t n, int64_t unit, std::byte* out, float* scale_inv) const {
    std::atomic<int64_t> bad_row{rows_.rows};
    pool_.parallel_for_dynamic((n + unit - 1) / unit, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> x;
      for (int64_t u = begin; u < end; ++u) {
        const int64_t from = u * unit, count = std::min(unit, n - from);
        x.resize(static_cast<size_t>(count * rows_.cols));
        rows_.decode(first + from, count, x.data());
        const int64_t bad = encode_unit({x.data(), count, rows_.cols}, first, from, out, scale_inv);
        if (bad >= 0) note_lowest(bad_row, first + from + bad);
      }
    });
    if (bad_row.load() < rows_.rows) refuse(bad_row.load());
  }

  // The first row of x that the type cannot hold; -1 when all went well.
  int64_t encode_unit(MatView<const float> x, int64_t first, int64_t from, std::byte* out, float* scale_inv) const {
    const int64_t scale_cols = (rows_.cols + kFp8Block - 1) / kFp8Block;
    for (int64_t i = 0; i < x.rows; ++i)
      if (find_unencodable(dtype_, x.row(i), x.cols) >= 0) return i;
    if (dtype_ != DType::f8_e4m3) {
      for (int64_t i = 0; i < x.rows; ++i) encode_one(first + from + i, x.vec(i), out + (from + i) * row_bytes_);
      return -1;
    }
    for (int64_t i = 0; i < x.rows; i += kFp8Block)
      encode_f8_stripe(x.sub_rows(i, std::min(kFp8Block, x.rows - i)), out + (from + i) * row_bytes_,
                       scale_inv + (from + i) / kFp8Block * scale_cols);
    return -1;
  }

  void encode_one(int64_t row, VecView<const float> x, std::byte* out) const {
    if (search_ == Search::plain) return encode_row(dtype_, x.data, x.size, out);
    const int64_t group = columns_.cols == 0 ? 0 : row / (rows_.rows / columns_.groups);
    const float* weights = columns_.cols == 0 ? nullptr : columns_.mean_squares.data() + group * columns_.cols;
    encode_row_thorough(dtype_, x.data, weights, x.size, out);
  }

  static void note_lowest(std::atomic<int64_t>& lowest, int64_t row) {
    int64_t seen = lowest.load();
    while (row < seen && !lowest.compare_exchange_weak(seen, row)) {
    }
  }

  [[noreturn]] void refuse(int64_t row) const {
    throw_bad_input(
        "tensor {}, row {}: holds a number that {} cannot; is the checkpoint damaged (`fathom inspect --check`)? f32 "
        "holds every number",
        name_, row, fathom::name(dtype_));
  }

  ThreadPool& pool_;
  const Rows& rows_;
  DType dtype_;
  const std::string& name_;
  int64_t row_bytes_;
  Search search_;
  ColumnStatistics columns_;
};

}  // namespace

void write_tensors(ThreadPool& pool, const std::vector<OutTensor>& plan, const ModelRows& source,
                   const Encoding& encoding, const std::function<void(std::span<const std::byte>)>& sink,
                   const ProgressFn& progress) {
  uint64_t done = 0;
  const uint64_t total = std::accumulate(plan.begin(), plan.end(), uint64_t{0},
                                         [](uint64_t sum, const OutTensor& t) { return sum + byte_count(t); });
  const auto counted = [&](std::span<const std::byte> bytes) {
    sink(bytes);
    done += bytes.size();
    if (progress) progress(done, total);
  };
  for (const OutTensor& t : plan) {
    for (const std::string& piece : t.pieces) {
      const Rows rows = source.find(piece);
      const PieceWriter writer(pool, rows, t.scales ? DType::f8_e4m3 : t.dtype, piece, encoding);
      if (!writer.is_stored())
        writer.encode(t.scales, counted);
      else if (!t.scales)
        writer.copy(counted);
      else
        counted(std::span(rows.scale_inv, byte_count(t)));
    }
  }
}

}  // namespace fathom
