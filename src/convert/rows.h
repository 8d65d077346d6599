// A matrix as its rows can be had: as float32, and where they exist as such, as stored bytes. The pieces that
// conversion is put together from.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "tensor/weight.h"

namespace fathom {

// Functions are pure: threads may call them at once, for any rows, in any order.
struct Rows {
  int64_t rows = 0, cols = 0;
  int64_t stripe = 1;  // rows that are made together
  // Rows [first, first + n) to out[n * cols]; first and n are multiples of stripe.
  std::function<void(int64_t first, int64_t n, float* out)> decode = {};
  std::optional<DType> origin = {};  // what the numbers were stored as; absent when they were made up
  // When set, row i lies somewhere as row_bytes(*origin, cols) bytes.
  std::function<const std::byte*(int64_t row)> stored_row = {};
  const std::byte* scale_inv = nullptr;  // of stored f8_e4m3 rows: float32 (ceil(rows / 128), ceil(cols / 128))
};

Rows rows_of(const Weight& weight);

// Row i of the result is row order[i]. Float 8 rows lose their stored form, since a scale belongs to 128 neighbours.
Rows reordered(Rows rows, std::vector<int64_t> order);

// Of heads of width d: where each row of the interleaved layout lies in the half-split one (row 2i + s was row s * d/2
// + i), and back.
std::vector<int64_t> interleaved_from_half_split(int64_t heads, int64_t d);
std::vector<int64_t> half_split_from_interleaved(int64_t heads, int64_t d);

// The parts of kv_b_proj (H * (N + V), C): k_b_proj (H * C, N), which is transposed in each head, and v_b_proj (H * V,
// C); and back.
Rows key_part(Rows kv_b, int64_t H, int64_t N, int64_t V);
Rows value_part(Rows kv_b, int64_t H, int64_t N, int64_t V);
Rows joined_kv_b(Rows k_b, Rows v_b, int64_t H, int64_t N, int64_t V);

}  // namespace fathom
