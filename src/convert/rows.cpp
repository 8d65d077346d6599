#include "convert/rows.h"

#include <memory>

#include "quant/decode.h"

namespace fathom {

Rows rows_of(const Weight& w) {
  Rows r{.rows = w.rows, .cols = w.cols};
  r.decode = [w](int64_t first, int64_t n, float* out) {
    for (int64_t i = 0; i < n; ++i) decode_row(w, first + i, out + i * w.cols);
  };
  r.origin = w.dtype;
  r.stored_row = [w](int64_t row) { return w.row(row); };
  r.scale_inv = w.scale_inv;
  return r;
}

Rows reordered(Rows rows, std::vector<int64_t> order) {
  check(rows.stripe == 1, "only rows that stand alone can be reordered");
  const auto base = std::make_shared<Rows>(std::move(rows));
  const auto places = std::make_shared<std::vector<int64_t>>(std::move(order));
  Rows r{.rows = static_cast<int64_t>(places->size()), .cols = base->cols};
  r.decode = [base, places](int64_t first, int64_t n, float* out) {
    for (int64_t i = 0; i < n; ++i) base->decode((*places)[static_cast<size_t>(first + i)], 1, out + i * base->cols);
  };
  r.origin = base->origin;
  if (base->stored_row && base->origin != DType::f8_e4m3)
    r.stored_row = [base, places](int64_t row) { return base->stored_row((*places)[static_cast<size_t>(row)]); };
  return r;
}

std::vector<int64_t> interleaved_from_half_split(int64_t heads, int64_t d) {
  std::vector<int64_t> order;
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t i = 0; i < d / 2; ++i)
      for (int64_t s = 0; s < 2; ++s) order.push_back(h * d + s * (d / 2) + i);
  return order;
}

std::vector<int64_t> half_split_from_interleaved(int64_t heads, int64_t d) {
  std::vector<int64_t> order;
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t s = 0; s < 2; ++s)
      for (int64_t i = 0; i < d / 2; ++i) order.push_back(h * d + 2 * i + s);
  return order;
}

namespace {

// out (cols, rows) = in (rows, cols) transposed.
void transpose(const float* in, int64_t rows, int64_t cols, float* out) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) out[j * rows + i] = in[i * cols + j];
}

}  // namespace

Rows key_part(Rows kv_b, int64_t H, int64_t N, int64_t V) {
  const int64_t C = kv_b.cols;
  const auto base = std::make_shared<Rows>(std::move(kv_b));
  Rows r{.rows = H * C, .cols = N, .stripe = C};
  r.origin = base->origin;
  r.decode = [=](int64_t first, int64_t n, float* out) {
    std::vector<float> keys(static_cast<size_t>(N * C));
    for (int64_t h = first / C; h < (first + n) / C; ++h) {
      base->decode(h * (N + V), N, keys.data());
      transpose(keys.data(), N, C, out);
      out += C * N;
    }
  };
  return r;
}

Rows value_part(Rows kv_b, int64_t H, int64_t N, int64_t V) {
  std::vector<int64_t> order;
  for (int64_t h = 0; h < H; ++h)
    for (int64_t v = 0; v < V; ++v) order.push_back(h * (N + V) + N + v);
  return reordered(std::move(kv_b), std::move(order));
}

Rows joined_kv_b(Rows k_b, Rows v_b, int64_t H, int64_t N, int64_t V) {
  const int64_t C = v_b.cols;
  const auto keys = std::make_shared<Rows>(std::move(k_b)), values = std::make_shared<Rows>(std::move(v_b));
  Rows r{.rows = H * (N + V), .cols = C, .stripe = N + V};
  r.origin = keys->origin;
  r.decode = [=](int64_t first, int64_t n, float* out) {
    std::vector<float> transposed(static_cast<size_t>(N * C));
    for (int64_t h = first / (N + V); h < (first + n) / (N + V); ++h) {
      keys->decode(h * C, C, transposed.data());
      transpose(transposed.data(), C, N, out);
      values->decode(h * V, V, out + N * C);
      out += (N + V) * C;
    }
  };
  return r;
}

}  // namespace fathom
