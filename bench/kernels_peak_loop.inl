// Sixteen independent chains of fused multiply-adds between registers: what the FMA units can do when nothing else is
// in their way. Returns something that depends on all of them.
float fma_chains(int64_t rounds) noexcept {
  constexpr int kChains = F32::registers >= 32 ? 16 : 12;
  F32 sum[kChains];
  for (int c = 0; c < kChains; ++c) sum[c] = F32::all(static_cast<float>(c));
  const F32 a = F32::all(0.999f), b = F32::all(0.001f);
  for (int64_t i = 0; i < rounds; ++i)
    for (int c = 0; c < kChains; ++c) sum[c] = fma(sum[c], a, b);
  for (int c = 1; c < kChains; ++c) sum[0] = sum[0] + sum[c];
  return reduce_add(sum[0]);
}
double flops_of_round() noexcept { return 2.0 * F32::lanes * (F32::registers >= 32 ? 16 : 12); }
