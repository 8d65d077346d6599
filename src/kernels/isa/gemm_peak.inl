// Independent chains of the multiply instruction between registers: what the units can do when nothing else is in their
// way. Returns the operations of all `rounds`, two for each multiply-add. Included after gemm_tile.inl.
template <class Words>
double peak(int64_t rounds) noexcept {
  constexpr int kChains = F32::registers >= 32 ? 16 : 12;
  constexpr uint32_t kHalves = 0x3F003F00;  // two bfloat16 of 0.5, or one float near it
  const auto half = Words::all(&kHalves);
  F32 sum[kChains];
  unroll<kChains>([&](int c) { sum[c] = F32::all(static_cast<float>(c)); });  // not alike: one would do for all
  for (int64_t i = 0; i < rounds; ++i) unroll<kChains>([&](int c) { sum[c] = Words::add_product(half, half, sum[c]); });
  for (int c = 1; c < kChains; ++c) sum[0] = sum[0] + sum[c];
  volatile float used = reduce_add(sum[0]);  // or the compiler would leave the loop out
  static_cast<void>(used);
  return 2.0 * F32::lanes * Words::products * kChains * static_cast<double>(rounds);
}
