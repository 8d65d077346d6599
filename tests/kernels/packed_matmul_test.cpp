// Products with packed weights: the same bits in every table, and as near to the weight's own product as 8 bits allow.
#include "kernels/packed_weight.h"

#include <gtest/gtest.h>

#include "kernels/inputs.h"
#include "kernels/matmul/packed_matmul.h"
#include "kernels/ref/packed_matmul.h"
#include "quant/decode.h"

namespace fathom {
namespace {

// Those that are multiplied with bytes.
std::vector<DType> packable_types() {
  std::vector<DType> types;
  for (const DTypeInfo& d : kDTypes)
    if (packed_format(d.dtype) && !is_floating(d.dtype)) types.push_back(d.dtype);
  return types;
}

std::vector<std::byte> packed_bytes(const Weight& w) {
  const int64_t size = strip_bytes(w.dtype, w.cols);
  std::vector<std::byte> packed(static_cast<size_t>(n_strips(w.rows) * size));
  for (int64_t p = 0; p < n_strips(w.rows); ++p) pack_strip(w, p, packed.data() + p * size);
  return packed;
}

struct PackedWeight {
  explicit PackedWeight(DType type, int64_t rows, int64_t cols, uint64_t seed)
      : stored(random_weight(type, rows, cols, seed, 3)), packed(packed_bytes(stored.w)), w(stored.w) {
    w.packed = packed.data();
  }
  StoredWeight stored;
  std::vector<std::byte> packed;
  Weight w;
};

// One tile of T rows.
struct Activations8 {
  Activations8(const KernelTable& k, const std::vector<float>& x, int64_t T, int64_t K)
      : codes(static_cast<size_t>(T * K)), sums(static_cast<size_t>(T * K / kPackedBlock)) {
    for (int64_t t = 0; t < T; ++t)
      k.quantise_row(x.data() + t * K, K, codes.data() + t * kPackedBlock, T * kPackedBlock, sums.data() + t, T);
  }
  std::vector<int8_t> codes;
  std::vector<BlockSums> sums;
};

std::vector<float> product(const KernelTable& k, const Weight& w, const Activations8& x, int64_t T) {
  std::vector<float> y(static_cast<size_t>(T * n_strips(w.rows) * kStripRows), NAN);
  const int64_t stride = n_strips(w.rows) * kStripRows;
  k.packed_product[static_cast<size_t>(w.dtype)](w.packed, n_strips(w.rows), w.cols, x.codes.data(), x.sums.data(), T,
                                                 y.data(), stride);
  return y;
}

TEST(PackedMatmul, EveryTableGivesTheSameBits) {
  const KernelTable& ref = *kernels_for(Isa::ref);
  for (const DType type : packable_types())
    for (const int64_t T : {1, 2, 3, 4, 7, 16, 33, 64}) {
      SCOPED_TRACE(std::string(name(type)) + " T " + std::to_string(T));
      const PackedWeight w(type, 21, 512, 11);  // three strips
      const std::vector<float> x = random_floats(T * 512, 12);
      const Activations8 want_x(ref, x, T, 512);
      const std::vector<float> want = product(ref, w.w, want_x, T);
      for (const KernelTable* k : runnable_kernels()) {
        const Activations8 got_x(*k, x, T, 512);
        EXPECT_EQ(got_x.codes, want_x.codes);
        EXPECT_EQ(got_x.sums, want_x.sums);
        EXPECT_EQ(product(*k, w.w, got_x, T), want);
      }
    }
}

// |y - <w, x>| <= sum over blocks of scale / 2 * sum |w|, by how activations are rounded, and float roundings of sums
// whose terms are at most (2^bits) * scale * |x| each.
TEST(PackedMatmul, ProductIsAsExactAsEightBits) {
  for (const DType type : packable_types()) {
    SCOPED_TRACE(name(type));
    const int64_t N = 11, K = 768, T = 5;
    const PackedWeight w(type, N, K, 21);
    const std::vector<float> x = random_floats(T * K, 22);
    const Activations8 q(kernels(), x, T, K);
    const std::vector<float> y = product(kernels(), w.w, q, T);
    std::vector<float> row(static_cast<size_t>(K));
    for (int64_t n = 0; n < N; ++n) {
      decode_row(w.w, n, row.data());
      for (int64_t t = 0; t < T; ++t) {
        double exact = 0, rounding = 0, size = 0;
        for (int64_t i = 0; i < K; ++i) {
          const double weight = row[static_cast<size_t>(i)], value = x[static_cast<size_t>(t * K + i)];
          const double scale = q.sums[static_cast<size_t>(i / kPackedBlock * T + t)].scale;
          exact += weight * value;
          rounding += std::abs(weight) * scale * 0.5001;
          size += std::abs(weight) * std::abs(value);
        }
        ASSERT_LE(std::abs(y[static_cast<size_t>(t * 16 + n)] - exact), rounding + 64 * 40 * kEpsF32 * size);
      }
    }
  }
}

TEST(PackedMatmul, WholeNumbersAreExact) {
  const int64_t K = 256;
  std::vector<float> x(static_cast<size_t>(K));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(static_cast<int>(i * 37 % 255) - 127);
  for (size_t b = 0; b < x.size(); b += kPackedBlock) x[b] = 127;
  for (const DType type : packable_types()) {
    const PackedWeight w(type, 8, K, 31);
    const std::vector<float> y = product(kernels(), w.w, Activations8(kernels(), x, 1, K), 1);
    std::vector<float> row(static_cast<size_t>(K));
    for (int64_t n = 0; n < 8; ++n) {
      decode_row(w.w, n, row.data());
      double exact = 0, size = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        exact += static_cast<double>(row[i]) * x[i];
        size += std::abs(static_cast<double>(row[i]) * x[i]);
      }
      ASSERT_NEAR(y[static_cast<size_t>(n)], exact, 1e-5 * size) << name(type);
    }
  }
}

TEST(QuantisedRows, WhatIsNotFiniteShowsAndWhatIsTinyIsZero) {
  for (const KernelTable* k : runnable_kernels())
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      std::vector<float> x = random_floats(96, 41);
      x[40] = bad;
      for (size_t i = 64; i < 96; ++i) x[i] = 0x1p-101f;
      const Activations8 q(*k, x, 1, 96);
      EXPECT_TRUE(std::isfinite(q.sums[0].scale) && q.sums[0].scale > 0);
      EXPECT_TRUE(std::isnan(q.sums[1].scale));
      EXPECT_EQ(q.sums[2].scale, 0);
      for (size_t i = 32; i < 96; ++i) EXPECT_EQ(q.codes[i], 0);
    }
}

// Of one tile of T rows, in bfloat16.
std::vector<uint16_t> rounded(const Bf16Kernel& k, const std::vector<float>& x, int64_t T, int64_t K) {
  std::vector<uint16_t> rows(static_cast<size_t>(T * K));
  for (int64_t t = 0; t < T; ++t) k.round_row(x.data() + t * K, K, rows.data() + t * kPackedBlock, T * kPackedBlock);
  return rows;
}

TEST(PackedBf16, RoundsAsEverybody) {
  std::vector<float> x = random_floats(96, 81);
  x[0] = 0;
  x[1] = -0.0f;
  x[2] = INFINITY;
  x[3] = 0x1.01p0f;  // ties
  x[4] = 0x1.03p0f;
  x[5] = -3.4e38f;  // becomes infinite
  for (const Bf16Kernel* k : runnable_bf16_kernels()) {
    const std::vector<uint16_t> rows = rounded(*k, x, 1, 96);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(rows[i], f32_to_bf16(x[i])) << i;
    x[7] = NAN;
    EXPECT_TRUE(std::isnan(bf16_to_f32(rounded(*k, x, 1, 96)[7])));
  }
}

// The instruction against its definition, bit for bit: any number of strips and rows, and numbers of any size.
TEST(PackedBf16, HasTheBitsOfItsDefinition) {
  for (const Bf16Kernel* k : runnable_bf16_kernels())
    for (const int64_t rows : {5, 8, 21, 32, 77})
      for (const int64_t T : {1, 2, 3, 5, 8, 12, 13, 25, 64})
        for (const double size : {1.0, 1e-19, 1e18}) {
          SCOPED_TRACE(fmt::format("{} rows, T {}, size {}", rows, T, size));
          const int64_t K = 224;
          PackedWeight w(DType::bf16, rows, K, 83);
          std::vector<float> x = random_floats(T * K, 84);
          for (float& value : x) value *= static_cast<float>(size);
          const std::vector<uint16_t> in = rounded(*k, x, T, K);
          const int64_t stride = n_strips(rows) * kStripRows + 3;
          std::vector<float> got(static_cast<size_t>(T * stride), -1), want = got;
          k->product(w.w.packed, n_strips(rows), K, in.data(), T, got.data(), stride);
          ref::packed_bf16_product(w.w.packed, n_strips(rows), K, in.data(), T, want.data(), stride);
          ASSERT_EQ(got, want);
        }
}

// |y - <w, x>| <= 2^-8 of the sum of |w x|, by how activations are rounded, and float roundings of sums.
TEST(PackedBf16, IsAsExactAsBfloat16) {
  const int64_t N = 11, K = 768, T = 5;
  const PackedWeight w(DType::bf16, N, K, 85);
  const std::vector<float> x = random_floats(T * K, 86);
  std::vector<uint16_t> in(x.size());
  for (int64_t t = 0; t < T; ++t)
    for (int64_t i = 0; i < K; ++i)
      in[static_cast<size_t>((i / 32 * T + t) * 32 + i % 32)] = f32_to_bf16(x[static_cast<size_t>(t * K + i)]);
  std::vector<float> y(static_cast<size_t>(T * 16)), row(static_cast<size_t>(K));
  ref::packed_bf16_product(w.w.packed, 2, K, in.data(), T, y.data(), 16);
  for (int64_t n = 0; n < N; ++n) {
    decode_row(w.w, n, row.data());
    for (int64_t t = 0; t < T; ++t) {
      double exact = 0, size = 0;
      for (int64_t i = 0; i < K; ++i) {
        const double product = static_cast<double>(row[static_cast<size_t>(i)]) * x[static_cast<size_t>(t * K + i)];
        exact += product;
        size += std::abs(product);
      }
      ASSERT_LE(std::abs(y[static_cast<size_t>(t * 16 + n)] - exact),
                (0x1p-8 + static_cast<double>(K) * kEpsF32) * size);
    }
  }
}

constexpr std::array kFloatingTypes = {DType::f32, DType::f16, DType::bf16, DType::f8_e4m3};

// x (T, K) as float_product takes it.
std::vector<float> in_blocks(const std::vector<float>& x, int64_t T, int64_t K) {
  std::vector<float> blocks(x.size());
  for (int64_t t = 0; t < T; ++t)
    for (int64_t i = 0; i < K; ++i)
      blocks[static_cast<size_t>((i / kPackedBlock * T + t) * kPackedBlock + i % kPackedBlock)] =
          x[static_cast<size_t>(t * K + i)];
  return blocks;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Any number of strips and rows, and a last unit that is shorter; nothing is written beside the rows of the strips.
TEST(PackedFloats, EveryTableGivesTheSameBits) {
  for (const DType type : kFloatingTypes)
    for (const int64_t rows : {5, 8, 21, 32, 77})
      for (const int64_t T : {1, 2, 3, 5, 6, 7, 12, 13, 25, 64}) {
        SCOPED_TRACE(fmt::format("{}, {} rows, T {}", name(type), rows, T));
        const int64_t K = type == DType::f8_e4m3 ? 384 : 352, stride = n_strips(rows) * kStripRows + 3;
        const PackedWeight w(type, rows, K, 91);
        const std::vector<float> x = in_blocks(random_floats(T * K, 92), T, K);
        const auto product = [&](const KernelTable& k) {
          std::vector<float> y(static_cast<size_t>(T * stride), -1);
          k.float_product[static_cast<size_t>(type)](w.w.packed, n_strips(rows), K, x.data(), T, y.data(), stride);
          return y;
        };
        const std::vector<float> want = product(*kernels_for(Isa::ref));
        for (const KernelTable* k : runnable_kernels()) ASSERT_TRUE(same_bits(product(*k), want)) << name(k->isa);
      }
}

// Rounding of a sum of n terms, each added once, in units and then the units: (128 + K / 128 + 1) eps of the sizes.
TEST(PackedFloats, AreTheProductsOfTheDecodedRows) {
  for (const DType type : kFloatingTypes) {
    SCOPED_TRACE(name(type));
    const int64_t N = 140, K = 768, T = 5;
    const PackedWeight w(type, N, K, 93);
    const std::vector<float> x = random_floats(T * K, 94), in = in_blocks(x, T, K);
    std::vector<float> y(static_cast<size_t>(T * 144)), row(static_cast<size_t>(K));
    kernels().float_product[static_cast<size_t>(type)](w.packed.data(), n_strips(N), K, in.data(), T, y.data(), 144);
    for (int64_t n = 0; n < N; ++n) {
      decode_row(w.stored.w, n, row.data());
      for (int64_t t = 0; t < T; ++t) {
        double exact = 0, size = 0;
        for (int64_t i = 0; i < K; ++i) {
          const double product = static_cast<double>(row[static_cast<size_t>(i)]) * x[static_cast<size_t>(t * K + i)];
          exact += product;
          size += std::abs(product);
        }
        ASSERT_GT(size, 0);
        ASSERT_NEAR(y[static_cast<size_t>(t * 144 + n)], exact, (129 + K / 128) * kEpsF32 * size) << n << ' ' << t;
      }
    }
  }
}

// All codes of E4M3, also those that a half holds as subnormal numbers; and what is NaN is so in its row alone.
TEST(PackedFloats, EveryCodeOfE4M3HasItsValue) {
  const int64_t K = 256;
  std::vector<uint8_t> codes(static_cast<size_t>(2 * K));
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i % 256);
  for (size_t i = 0; i < 256; ++i)
    if ((i & 0x7F) == 0x7F) codes[i] = 0;
  const Weight w{
      .dtype = DType::f8_e4m3, .rows = 2, .cols = K, .data = reinterpret_cast<const std::byte*>(codes.data())};
  const std::vector<std::byte> packed = packed_bytes(w);
  for (int64_t i = 0; i < K; ++i) {
    std::vector<float> x(static_cast<size_t>(K)), y(8);
    x[static_cast<size_t>(i)] = 1;
    for (const KernelTable* k : runnable_kernels()) {
      k->float_product[static_cast<size_t>(w.dtype)](packed.data(), 1, K, in_blocks(x, 1, K).data(), 1, y.data(), 8);
      ASSERT_EQ(y[0], f8_e4m3_to_f32(codes[static_cast<size_t>(i)])) << i;
      ASSERT_TRUE(std::isnan(y[1]));
      ASSERT_EQ(y[2], 0);
    }
  }
}

// Those that this CPU packs.
std::vector<DType> types_here(std::vector<DType> types) {
  std::erase_if(types, [](DType type) { return type == DType::bf16 && !bf16_can_be_packed(); });
  return types;
}

ThreadPool pool_of(int threads, int n_nodes) {
  return ThreadPool(threads, choose_numa(std::to_string(n_nodes), usable_cpus()));
}

std::vector<float> linear(int threads, const std::vector<float>& x, int64_t T, const Weight& w, int n_nodes = 1) {
  ThreadPool pool = pool_of(threads, n_nodes);
  Arena arena;
  std::vector<float> y(static_cast<size_t>(T * w.rows), NAN);
  packed_linear(pool, arena, mat(x, T, w.cols), std::array{PackedOutput{&w, mat(y, T, w.rows)}});
  return y;
}

TEST(PackedLinear, SameBitsForAnyThreadsAndNeighbours) {
  for (const DType type :
       types_here({DType::q4_0, DType::q6_k, DType::q8_0, DType::bf16, DType::f16, DType::f8_e4m3})) {
    const int64_t N = 1003, K = 512, T = 131;  // two tiles and a half, a strip of three rows
    const PackedWeight w(type, N, K, 51);
    const std::vector<float> x = random_floats(T * K, 52);
    const std::vector<float> all = linear(3, x, T, w.w);
    EXPECT_EQ(linear(1, x, T, w.w), all);
    for (const int64_t t : {0, 63, 64, 130}) {
      const std::vector<float> one(x.begin() + t * K, x.begin() + (t + 1) * K);
      const std::vector<float> want(all.begin() + t * N, all.begin() + (t + 1) * N);
      EXPECT_EQ(linear(2, one, 1, w.w), want) << t;
    }
  }
}

TEST(PackedLinear, SameBitsForAnyMemoryNodes) {
  const int64_t N = 3003, K = 2048;  // strips of 6.6 MB: stripes of every node
  const PackedWeight w(DType::q8_0, N, K, 71);
  for (const int64_t T : {1, 70}) {
    const std::vector<float> x = random_floats(T * K, 72), want = linear(1, x, T, w.w);
    for (const int n_nodes : {2, 3, 4})
      for (const int threads : {1, 2, 3, 5})
        EXPECT_EQ(linear(threads, x, T, w.w, n_nodes), want) << n_nodes << " nodes, " << threads << " threads, T " << T;
  }
}

TEST(GatedJobs, SameBitsForAnyMemoryNodes) {
  const int64_t F = 1408, K = 2048, T = 3;
  const PackedWeight gate(DType::q8_0, F, K, 73), up(DType::q4_0, F, K, 74);
  const std::vector<float> x = random_floats(T * K, 75);
  const auto codes = [&](int threads, int n_nodes) {
    ThreadPool pool = pool_of(threads, n_nodes);
    Arena arena;
    const QuantisedTiles in = plan_tiles(arena, std::array{T}, K, RowForm::bytes),
                         out = plan_tiles(arena, std::array{T}, F, RowForm::bytes);
    quantise(pool, mat(x, T, K), {}, in);
    run_gated_matmuls(pool, std::array{GatedMatmul{in[0].rows, &gate.w, &up.w, out[0].rows}});
    return std::vector<int8_t>(out[0].rows.codes, out[0].rows.codes + T * F);
  };
  const std::vector<int8_t> want = codes(1, 1);
  for (const int n_nodes : {2, 4})
    for (const int threads : {2, 3, 5}) EXPECT_EQ(codes(threads, n_nodes), want) << n_nodes << ' ' << threads;
}

// Gate, up and the activation in one section: what the three steps give one by one, in either form.
TEST(GatedJobs, EqualTheirParts) {
  const int64_t F = 96, K = 256, T = 70;
  const std::vector<float> x = random_floats(T * K, 63);
  ThreadPool pool(2);
  Arena arena;
  const std::array counts{T};
  const auto test = [&](DType gate_type, DType up_type, RowForm out_form) {
    const PackedWeight gate(gate_type, F, K, 61), up(up_type, F, K, 62);
    const QuantisedTiles in = plan_tiles(arena, counts, K, row_form(gate_type)),
                         out = plan_tiles(arena, counts, F, out_form), want = plan_tiles(arena, counts, F, out_form);
    quantise(pool, mat(x, T, K), {}, in);
    std::vector<GatedMatmul> jobs;
    for (size_t i = 0; i < in.size(); ++i) jobs.push_back({in[i].rows, &gate.w, &up.w, out[i].rows});
    run_gated_matmuls(pool, jobs);

    std::vector<float> g = linear(1, x, T, gate.w);
    const std::vector<float> u = linear(1, x, T, up.w);
    kernels().swiglu_row(g.data(), u.data(), T * F, g.data());
    quantise(pool, mat(g, T, F), {}, want);
    ASSERT_EQ(out.size(), 2u);
    for (size_t i = 0; i < out.size(); ++i) {
      const QuantisedRows &got = out[i].rows, &same = want[i].rows;
      ASSERT_EQ(got.form(), out_form);
      const int64_t n = got.n * F, sums = n / kPackedBlock;
      if (out_form == RowForm::bf16) {
        EXPECT_TRUE(std::equal(got.bf16, got.bf16 + n, same.bf16));
      } else if (out_form == RowForm::floats) {
        EXPECT_TRUE(std::equal(got.floats, got.floats + n, same.floats));
      } else {
        EXPECT_TRUE(std::equal(got.codes, got.codes + n, same.codes));
        EXPECT_TRUE(std::equal(got.sums, got.sums + sums, same.sums));
      }
    }
  };
  test(DType::q4_0, DType::q4_k, RowForm::bytes);
  test(DType::f16, DType::f32, RowForm::floats);
  test(DType::f8_e4m3, DType::f16, RowForm::bytes);
  test(DType::q8_0, DType::q8_0, RowForm::floats);
  if (bf16_kernel() == nullptr) return;
  test(DType::bf16, DType::bf16, RowForm::bf16);
  test(DType::bf16, DType::bf16, RowForm::bytes);
  test(DType::q8_0, DType::q8_0, RowForm::bf16);
}

}  // namespace
}  // namespace fathom
