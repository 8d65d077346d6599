// How one row of the cache is stored: the element types, and the exact meaning of their bytes.
//     f32, bf16   the numbers themselves, bf16 rounded to nearest even
//     q16, q8     x ~ scale * code, one float32 scale for each group of kCacheGroup numbers of a row:
//                 scale = max|x| / L,  code = round(x L / max|x|), to nearest even, |code| <= L
//                 L = 4095 (q16: 13 bits), 127 (q8: 8 bits); |error| <= max|x| (1 / (2 L) + 2^-22)
//     fp8         x ~ scale * E4M3, one float32 scale for each such group of the body: scale = max|x| / 448, |error| <=
//                 2^-4 |x|, or 2^-10 scale where that is more; the tail as bf16
// The last `tail` numbers of a row (the rotated key of latent attention, whose large pairs carry positions) have groups
// of their own and stay in 13 bits in both q types. 4095 is the largest L whose products fit attention's int32 sums
// (kernels/int16_kernel.h), so that q16 is multiplied as it is stored.
//
// Rows stand together, kBlockTokens of a layer: first their numbers or codes, row after row, then, of a coded type,
// their scales, group after group (kBlockTokens scales each; groups of the body, then of the tail). So codes of V2's
// rows begin and end with cache lines, and a group's scales are read as they lie.
//     codes of a row: [body][tail, int16], each part starting at a multiple of 4
//     a row of fp8: [body, E4M3][scales, float32][tail, bf16], the scales starting at a multiple of 4: of V2's widths
//     the 656 bytes of FlashMLA's row (github.com/deepseek-ai/FlashMLA, V3.2's cache) q6, q4, v2-6bit, nuq5, nuq4, nuq3
//     levels of few bits, for latent attention alone: latent_row.h
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "kvcache/latent_row.h"

namespace fathom {

enum class CacheType : uint8_t { f32, bf16, q16, q8, fp8, q6, q4, v2_6bit, nuq5, nuq4, nuq3 };

inline constexpr std::string_view kCacheTypeNames[] = {"f32", "bf16",    "q16",  "q8",   "fp8", "q6",
                                                       "q4",  "v2-6bit", "nuq5", "nuq4", "nuq3"};  // by CacheType
std::optional<CacheType> cache_type_from_name(std::string_view name) noexcept;
// What the latents of such a cache are coded as; nullptr: the type is none of latents alone.
const LatentFormat* latent_format(CacheType type) noexcept;

inline constexpr int64_t kCacheGroup = 128;
inline constexpr int kCode16 = 4095, kCode8 = 127;  // largest codes

constexpr int64_t cache_groups(int64_t n) noexcept { return (n + kCacheGroup - 1) / kCacheGroup; }

struct CacheRow {
  CacheType type = CacheType::f32;
  int64_t width = 0, tail = 0;  // numbers; the tail is the last of them

  constexpr int64_t body() const noexcept { return width - tail; }
  constexpr bool coded() const noexcept { return type == CacheType::q16 || type == CacheType::q8; }
  constexpr int64_t groups() const noexcept { return cache_groups(body()) + cache_groups(tail); }
  bool latent() const noexcept { return latent_format(type) != nullptr; }  // in few bits, the tail not rotated

  // Of a row of fp8: the byte where its own scales begin.
  constexpr int64_t own_scales_at() const noexcept { return whole(body()); }
  // Of a coded row, or one of fp8: the byte where its tail begins.
  constexpr int64_t tail_at() const noexcept {
    if (type == CacheType::fp8) return own_scales_at() + 4 * cache_groups(body());
    return whole(body() * (type == CacheType::q8 ? 1 : 2));
  }
  // Bytes from one row to the next; not of a latent type, whose rows are in sections.
  constexpr int64_t stride() const noexcept {
    if (type == CacheType::fp8) return whole(tail_at() + tail * 2);
    if (!coded()) return width * (type == CacheType::f32 ? 4 : 2);
    return tail_at() + whole(tail * 2);
  }
  // The byte after kBlockTokens rows, where their scales begin: that of row i and group g at [g * kBlockTokens + i].
  constexpr int64_t scales_at() const noexcept { return kBlockTokens * stride(); }
  int64_t bytes() const noexcept;  // of a row, scales and all else included

 private:
  static constexpr int64_t whole(int64_t bytes) noexcept { return (bytes + 3) / 4 * 4; }
};

// n numbers as codes of at most `largest`; returns the scale. Zero codes and scale when all are below 1e-30; a number
// that is not finite makes the scale NaN, so that what reads the group becomes NaN too.
float encode_group(const float* x, int64_t n, int largest, int16_t* codes) noexcept;

// Not of a latent type: row i of the rows at `rows` (kBlockTokens * row.bytes() bytes, 4-byte aligned): row.width
// numbers into it, and back.
void store_row(const CacheRow& row, const float* x, std::byte* rows, int64_t i) noexcept;
void load_row(const CacheRow& row, const std::byte* rows, int64_t i, float* x) noexcept;

}  // namespace fathom
