#include "base/error.h"
#include "claims/kv_claim.h"
#include "claims/paper.h"

namespace fathom {
namespace {

std::string_view type_name(CacheType type) { return kCacheTypeNames[static_cast<size_t>(type)]; }

double paper_bytes(int64_t numbers, double bits) { return static_cast<double>(numbers) * bits / 8; }

json::object count_json(const CountedCache& c) {
  return {{"bytes_per_token", c.stored},
          {"taken_bytes_per_token", c.taken},
          {"formula_bytes_per_token", c.formula},
          {"bits_per_number", c.bits}};
}

std::string table_row(const KvClaim& claim, const KvRow& r) {
  const auto equal = r.dense ? fmt::format("{:.2f} %", 100 * (1 - r.latent.stored / r.dense->stored)) : "";
  return fmt::format("{:<9}{:>7.2f}{:>12.0f}{:>12.0f}{:>10.2f} %{:>14}{:>12}\n", type_name(r.type), r.latent.bits,
                     r.latent.stored, r.latent.taken, 100 * claim.reduction(r),
                     r.dense ? fmt::format("{:.0f}", r.dense->stored) : "-", equal);
}

// Why a reader may find another number than the paper's.
std::string differences(const KvClaim& claim) {
  const KvRow &six = claim.row(kPaperCacheType), &half = claim.row(CacheType::bf16), &usual = claim.row(CacheType::q16);
  return fmt::format(
      "where they differ\n"
      "  in bytes: nowhere. {} has {:.2f} bits a number, with scales, outliers and the rotary key counted.\n"
      "  in what is compared: 16 bits of 67B with 6 of V2. With 16 bits each it is {:.1f} % ({}), with fathom's "
      "default "
      "{:.1f} % ({}).\n"
      "  in memory: fathom takes several blocks of {} tokens at a time, in whole huge pages: {:.1f} % less is taken, "
      "what stays unused\n  of the last ones included.\n"
      "  in the recipe: the paper's 6 bits are unpublished; here {} is codes of 5 bits, outliers and 8 bits of rotary "
      "key.\n",
      type_name(six.type), six.latent.bits, 100 * claim.reduction(half), type_name(half.type),
      100 * claim.reduction(usual), type_name(usual.type), kBlockTokens,
      100 * (1 - six.latent.taken / claim.baseline.taken), type_name(six.type));
}

}  // namespace

std::string to_table(const KvClaim& claim) {
  const int64_t latent = claim.latent_layers * claim.latent_width, dense = claim.dense_layers * claim.dense_width;
  const double wanted = 1 - paper_bytes(latent, kPaperCacheBits) / paper_bytes(dense, kPaperDenseCacheBits);
  const KvRow& six = claim.row(kPaperCacheType);
  std::string out = fmt::format(
      "the paper: {:.1f} % less cache than DeepSeek 67B\n"
      "  67B  {} layers x {} numbers x {:.0f} bits = {:.0f} bytes a token\n"
      "  V2   {} layers x {} numbers x {:.0f} bits = {:.0f} bytes a token\n"
      "  1 - {:.0f} / {:.0f} = {:.1f} %\n",
      100 * kPaper.cache_reduction, claim.dense_layers, claim.dense_width, kPaperDenseCacheBits,
      paper_bytes(dense, kPaperDenseCacheBits), claim.latent_layers, claim.latent_width, kPaperCacheBits,
      paper_bytes(latent, kPaperCacheBits), paper_bytes(latent, kPaperCacheBits),
      paper_bytes(dense, kPaperDenseCacheBits), 100 * wanted);
  out += fmt::format(
      "fathom, counted on caches of {} tokens of both shapes\n"
      "  1 - {:.0f} ({}) / {:.0f} (67B, bf16) = {:.1f} %\n\n",
      claim.tokens, six.latent.stored, type_name(six.type), claim.baseline.stored, 100 * claim.reduction(six));
  out += fmt::format("{:<9}{:>7}{:>12}{:>12}{:>12}{:>14}{:>12}\n", "V2 in", "bits", "bytes a", "taken from",
                     "less than", "67B in", "less with");
  out += fmt::format("{:<9}{:>7}{:>12}{:>12}{:>12}{:>14}{:>12}\n", "", "", "token", "memory", "67B, bf16", "the same",
                     "the same");
  for (const KvRow& r : claim.rows) out += table_row(claim, r);
  return out + "\n" + differences(claim);
}

json::value to_json(const KvClaim& claim) {
  json::array formats;
  for (const KvRow& r : claim.rows) {
    json::object row{{"type", type_name(r.type)}, {"v2", count_json(r.latent)}, {"reduction", claim.reduction(r)}};
    if (r.dense) {
      row["dense_67b"] = count_json(*r.dense);
      row["reduction_with_equal_types"] = 1 - r.latent.stored / r.dense->stored;
    }
    formats.push_back(std::move(row));
  }
  const int64_t latent = claim.latent_layers * claim.latent_width, dense = claim.dense_layers * claim.dense_width;
  return json::object{{"claim", "kv"},
                      {"paper", json::object{{"reduction", kPaper.cache_reduction},
                                             {"v2_bytes_per_token", paper_bytes(latent, kPaperCacheBits)},
                                             {"dense_67b_bytes_per_token", paper_bytes(dense, kPaperDenseCacheBits)}}},
                      {"tokens", claim.tokens},
                      {"type", type_name(kPaperCacheType)},
                      {"reduction", claim.reduction(claim.row(kPaperCacheType))},
                      {"formats", std::move(formats)}};
}

}  // namespace fathom
