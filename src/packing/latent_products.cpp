#include "packing/latent_products.h"

#include <vector>

#include "base/round.h"
#include "kernels/packed_weight.h"
#include "packing/packed_weights.h"
#include "quant/decode.h"
#include "quant/encode.h"
#include "tensor/buffer.h"

namespace fathom {
namespace {

// One of the two directions of a layer: packed rows of `to`, by head.
struct Direction {
  Weight from;         // stored: in each head `rows_apart` rows, of which the first `n` are meant
  int64_t rows_apart;  // from head to head
  int64_t n;
  bool transposed;
  Weight to;  // where it begins is in `packed`, once it is known
  Weight MlaWeights::*member;
};

// Quantised blocks run along rows, so that columns must be rounded anew, to 8 bits; E4M3 with its scales to halves,
// which have three times its bits.
DType transposed_type(DType from) noexcept {
  if (from == DType::f8_e4m3) return DType::f16;
  return is_floating(from) ? from : DType::q8_0;
}

std::vector<Direction> directions(const ModelConfig& c, const MlaWeights& w) {
  const int64_t H = c.num_attention_heads, N = c.qk_nope_head_dim, V = c.v_head_dim, C = c.kv_lora_rank;
  if (N % kPackedBlock != 0 || C % kPackedBlock != 0) return {};
  const auto transposed = [](const Weight& from, int64_t rows, int64_t cols) {
    return Weight{.dtype = transposed_type(from.dtype), .rows = rows, .cols = cols};
  };
  if (w.kv_b_proj && can_be_packed(w.kv_b_proj))
    return {{w.kv_b_proj, N + V, N, true, transposed(w.kv_b_proj, H * C, N), &MlaWeights::fold_key}};
  if (!w.v_b_proj || !can_be_packed(w.v_b_proj) || !can_be_packed(w.k_b_proj)) return {};
  return {{w.k_b_proj, C, C, false, {.dtype = w.k_b_proj.dtype, .rows = H * C, .cols = N}, &MlaWeights::fold_key},
          {w.k_b_proj, C, C, true, transposed(w.k_b_proj, H * N, C), &MlaWeights::expand_key}};
}

// One head of the direction, rows of `cols` weights, from the transposed matrix.
std::vector<std::byte> transposed_rows(const Direction& d, int64_t head) {
  const int64_t rows = d.from.cols, cols = d.n, row_bytes = d.to.bytes_per_row();
  Buffer<float> decoded(rows), matrix(rows * cols);
  for (int64_t i = 0; i < cols; ++i) {
    decode_row(d.from, head * d.rows_apart + i, decoded.data());
    for (int64_t r = 0; r < rows; ++r) matrix[r * cols + i] = decoded[r];
  }
  std::vector<std::byte> out(static_cast<size_t>(rows * row_bytes));
  for (int64_t r = 0; r < rows; ++r) encode_row(d.to.dtype, matrix.data() + r * cols, cols, out.data() + r * row_bytes);
  return out;
}

void make_head(const Direction& d, int64_t head, std::byte* out) {
  Weight rows = d.to;
  std::vector<std::byte> made;
  if (d.transposed) {
    made = transposed_rows(d, head);
    rows.rows = d.from.cols;
    rows.data = made.data();
  } else {
    rows = d.from.sub_rows(head * d.rows_apart, d.n);
  }
  const int64_t strip = strip_bytes(rows.dtype, rows.cols);
  out += head * n_strips(rows.rows) * strip;
  for (int64_t p = 0; p < n_strips(rows.rows); ++p) pack_strip(rows, p, out + p * strip);
}

}  // namespace

int64_t latent_product_bytes(const ModelConfig& config, const MlaWeights& w) noexcept {
  int64_t n = 0;
  for (const Direction& d : directions(config, w)) n += rounded_up(packed_weight_bytes(d.to), kPackedAlign);
  return n;
}

void make_latent_products(ThreadPool& pool, const ModelConfig& config, std::span<MlaWeights* const> layers,
                          std::byte* out) {
  struct Place {
    Direction direction;
    std::byte* out;
  };
  std::vector<Place> places;
  for (MlaWeights* w : layers)
    for (Direction& d : directions(config, *w)) {
      d.to.packed = out;
      places.push_back({d, out});
      out += rounded_up(packed_weight_bytes(d.to), kPackedAlign);
      w->*d.member = d.to;
    }
  const int64_t H = config.num_attention_heads;
  pool.for_each_task(std::ssize(places) * H, [&](int, int64_t i) {
    const Place& p = places[static_cast<size_t>(i / H)];
    make_head(p.direction, i % H, p.out);
  });
}

}  // namespace fathom
