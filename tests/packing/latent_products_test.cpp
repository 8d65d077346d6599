// The key part of kv_b_proj, packed in both directions: as near to the stored one as two roundings to 8 bits allow.
#include "packing/latent_products.h"

#include <gtest/gtest.h>

#include "kernels/inputs.h"
#include "kernels/matmul/packed_matmul.h"
#include "model/attention/mla_heads.h"
#include "packing/packed_weights.h"
#include "quant/decode.h"
#include "tensor/buffer.h"

namespace fathom {
namespace {

ModelConfig latent_config(int64_t N, int64_t C) {
  ModelConfig c;
  c.num_attention_heads = 3;
  c.qk_nope_head_dim = N;
  c.v_head_dim = 40;
  c.kv_lora_rank = C;
  return c;
}

// A layer whose part for keys is stored in one of the two layouts.
struct LatentLayer {
  LatentLayer(const ModelConfig& config, bool whole, DType type) : c(config) {
    const int64_t H = c.num_attention_heads, N = c.qk_nope_head_dim, V = c.v_head_dim, C = c.kv_lora_rank;
    if (whole) {
      stored = random_weight(type, H * (N + V), C, 1);
      w.kv_b_proj = packed_now(stored);
      key = &w.kv_b_proj;
    } else {
      stored = random_weight(type, H * C, N, 2);
      values = random_weight(DType::q8_0, H * V, C, 3);
      w.k_b_proj = stored.w;
      w.v_b_proj = packed_now(values);
      key = &w.k_b_proj;
    }
    products = Buffer<std::byte>(latent_product_bytes(c, w));
    make_latent_products(pool, c, std::array{&w}, products.data());
  }

  Weight packed_now(const StoredWeight& s) {
    Weight packed = s.w;
    if (!can_be_packed(packed)) return packed;
    bytes = Buffer<std::byte>(packed_weight_bytes(packed));
    pack_weight(pool, packed, bytes.data());
    packed.packed = bytes.data();
    return packed;
  }

  // W_UK of a head as it is stored, (N, C).
  std::vector<double> key_part(int64_t head) const {
    const int64_t N = c.qk_nope_head_dim, C = c.kv_lora_rank, V = c.v_head_dim;
    std::vector<double> part(static_cast<size_t>(N * C));
    std::vector<float> row(static_cast<size_t>(key->cols));
    for (int64_t i = 0; i < (w.kv_b_proj ? N : C); ++i) {
      decode_row(*key, w.kv_b_proj ? head * (N + V) + i : head * C + i, row.data());
      for (int64_t j = 0; j < std::ssize(row); ++j)
        part[static_cast<size_t>(w.kv_b_proj ? i * C + j : j * C + i)] = row[static_cast<size_t>(j)];
    }
    return part;
  }

  ModelConfig c;
  ThreadPool pool{2};
  StoredWeight stored, values;
  Buffer<std::byte> bytes, products;
  MlaWeights w;
  const Weight* key = nullptr;
};

double largest(const std::vector<double>& x) {
  double m = 0;
  for (const double v : x) m = std::max(m, std::abs(v));
  return m;
}

// y (rows) of one row x against sum of part[r * r_step + k * k_step] x[k]: weights and activations are each rounded by
// at most 1/254 of a block's largest.
void expect_near(const float* y, int64_t rows, const std::vector<double>& part, int64_t r_step, int64_t k_step,
                 const float* x, int64_t cols) {
  double x_max = 0;
  for (int64_t k = 0; k < cols; ++k) x_max = std::max(x_max, std::abs(static_cast<double>(x[k])));
  const double rounding = 1.01 * largest(part) / 254, bound = static_cast<double>(cols) * rounding * x_max * 2.01;
  double error = 0, size = 0;
  for (int64_t r = 0; r < rows; ++r) {
    double exact = 0;
    for (int64_t k = 0; k < cols; ++k) exact += part[static_cast<size_t>(r * r_step + k * k_step)] * x[k];
    ASSERT_LE(std::abs(y[r] - exact), bound);
    error += (y[r] - exact) * (y[r] - exact);
    size += exact * exact;
  }
  EXPECT_LE(std::sqrt(error / size), 0.02);  // all together far below that
}

TEST(LatentProducts, AreTheKeyPartInBothDirections) {
  for (const bool whole : {true, false})
    for (const DType type : {DType::q4_0, DType::q8_0, DType::bf16, DType::f16, DType::f32}) {
      if (type == DType::bf16 && !bf16_can_be_packed()) continue;
      SCOPED_TRACE(std::string(whole ? "kv_b_proj " : "k_b_proj ") + std::string(name(type)));
      const LatentLayer layer(latent_config(64, 96), whole, type);
      const int64_t N = 64, C = 96;
      ASSERT_NE(layer.w.fold_key.packed, nullptr);
      EXPECT_EQ(layer.w.fold_key.dtype, whole && !is_floating(type) ? DType::q8_0 : type);
      EXPECT_EQ(layer.w.expand_key.packed != nullptr, !whole);
      for (int64_t head = 0; head < 3; ++head) {
        const std::vector<double> part = layer.key_part(head);
        std::vector<float> q = random_floats(2 * N, 5), latent = random_floats(C, 6),
                           folded(static_cast<size_t>(2 * C)), key(static_cast<size_t>(N));
        fold_query(layer.c, layer.w, head, Numerics::quantised(), MatView<float>(q.data(), 2, N),
                   MatView<float>(folded.data(), 2, C));
        for (int64_t t = 0; t < 2; ++t) expect_near(folded.data() + t * C, C, part, 1, C, q.data() + t * N, N);
        if (whole) continue;
        packed_linear_serial(MatView<float>(latent.data(), 1, C), packed_rows(layer.w.expand_key, head * N, N),
                             MatView<float>(key.data(), 1, N));
        expect_near(key.data(), N, part, C, 1, latent.data(), C);
      }
    }
}

TEST(LatentProducts, AreNotMadeOfWhatIsNotPacked) {
  for (const bool whole : {true, false}) {
    EXPECT_EQ(latent_product_bytes(latent_config(64, 96), LatentLayer(latent_config(64, 96), whole, DType::iq4_nl).w),
              0);
    const LatentLayer odd(latent_config(whole ? 40 : 64, whole ? 96 : 40), whole, DType::f16);
    EXPECT_EQ(odd.w.fold_key.packed, nullptr);
    EXPECT_EQ(odd.w.expand_key.packed, nullptr);
  }
  const LatentLayer odd(latent_config(40, 96), true, DType::q4_0);  // heads of rows that are no whole blocks
  EXPECT_EQ(odd.w.fold_key.packed, nullptr);
}

}  // namespace
}  // namespace fathom
