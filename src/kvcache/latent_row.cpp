#include "kvcache/latent_row.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "tensor/dtype.h"

namespace fathom {
namespace {

constexpr int8_t kNormal2[] = {-127, -38, 38, 127};
constexpr int8_t kNormal3[] = {-127, -79, -45, -14, 14, 45, 79, 127};
constexpr int8_t kNormal4[] = {-127, -96, -75, -58, -44, -31, -18, -6, 6, 18, 31, 44, 58, 75, 96, 127};
constexpr int8_t kNormal5[] = {-127, -105, -90, -79, -70, -61, -54, -47, -41, -35, -29, -24, -18, -13, -8,  -3,
                               3,    8,    13,  18,  24,  29,  35,  41,  47,  54,  61,  70,  79,  90,  105, 127};
constexpr int8_t kNormal6[] = {-127, -110, -99, -91, -84, -78, -73, -68, -64, -60, -56, -53, -49, -46, -43, -40,
                               -38,  -35,  -32, -30, -27, -24, -22, -20, -17, -15, -13, -10, -8,  -6,  -3,  -1,
                               1,    3,    6,   8,   10,  13,  15,  17,  20,  22,  24,  27,  30,  32,  35,  38,
                               40,   43,   46,  49,  53,  56,  60,  64,  68,  73,  78,  84,  91,  99,  110, 127};

constexpr float kLevelTop = 127;

uint16_t read_half(const std::byte* at, int64_t i) noexcept {
  uint16_t h;
  std::memcpy(&h, at + 2 * i, sizeof h);
  return h;
}
void write_half(uint16_t h, std::byte* at, int64_t i) noexcept { std::memcpy(at + 2 * i, &h, sizeof h); }

// Puts the bits that a plane holds of a row's codes into its bytes, and adds them to the codes.
void write_plane(const LatentRow::Plane& p, std::span<const uint8_t> codes, std::byte* bytes) noexcept {
  const int64_t per_unit = 64 / p.bits, units = std::ssize(codes) / per_unit;
  const unsigned mask = (1u << p.bits) - 1;
  for (int64_t unit = 0; unit < units; ++unit)
    for (int64_t i = 0; i < 8; ++i) {
      unsigned byte = 0;
      for (int64_t k = 0; k < per_unit / 8; ++k)
        byte |= (unsigned{codes[static_cast<size_t>(unit * per_unit + 8 * k + i)]} >> p.shift & mask) << (p.bits * k);
      bytes[unit * 8 + i] = static_cast<std::byte>(byte);
    }
}
void read_plane(const LatentRow::Plane& p, const std::byte* bytes, std::span<uint8_t> codes) noexcept {
  const int64_t per_unit = 64 / p.bits;
  const unsigned mask = (1u << p.bits) - 1;
  for (int64_t c = 0; c < std::ssize(codes); ++c) {
    const int64_t in_unit = c % per_unit;
    const auto byte = static_cast<unsigned>(bytes[c / per_unit * 8 + in_unit % 8]);
    auto& code = codes[static_cast<size_t>(c)];
    code = static_cast<uint8_t>(code | (byte >> (p.bits * (in_unit / 8)) & mask) << p.shift);
  }
}

float finite_or_nan(float x) noexcept { return std::isfinite(x) ? x : std::numeric_limits<float>::quiet_NaN(); }

}  // namespace

LatentRow::LatentRow(const LatentFormat& f, int64_t c, int64_t r) : format(f), C(c), R(r) {
  check(f.bits >= kLeastLevelBits && f.bits <= kMostLevelBits && C > 0 && R >= 0, "bits of a code and widths");
  int64_t at = 0;
  const auto section = [&at](int64_t bytes_of_row) {
    const int64_t begin = at;
    at += kBlockTokens * bytes_of_row;
    return begin;
  };
  const auto add_plane = [&](int bits, int shift) {
    Plane& p = planes_[static_cast<size_t>(n_planes_++)];
    p = {.bits = bits, .shift = shift};
    p.at = section(plane_bytes(p));
  };
  const int low = f.bits >= 4 ? 4 : 2;
  add_plane(low, 0);
  if (f.bits > low) add_plane(f.bits - low, low);
  tail_at_ = section(R);
  tail_scales_at_ = section(2);
  gains_at_ = section(f.gain ? 2 : 0);
  if (f.outliers)
    outliers = f.total_bits == 0 ? (10 * C + 512) / 1024
                                 : std::clamp<int64_t>(((C + R) * f.total_bits / 8 - at / kBlockTokens) / 4, 0, C);
  outlier_columns_at_ = section(2 * outliers);
  residuals_at_ = section(2 * outliers);
  bytes_ = at / kBlockTokens;
}

NormalLevels normal_levels(int bits) noexcept {
  switch (bits) {
    case 2:
      return {kNormal2, 84.0827062f};
    case 3:
      return {kNormal3, 59.0163589f};
    case 4:
      return {kNormal4, 46.4760612f};
    case 5:
      return {kNormal5, 38.9483039f};
    default:
      return {kNormal6, 33.9200227f};
  }
}

void hadamard(float* x, int64_t n) noexcept {
  const auto piece = static_cast<int64_t>(uint64_t{1} << std::countr_zero(static_cast<uint64_t>(n)));
  const float scale = 1.0f / std::sqrt(static_cast<float>(piece));
  for (float* p = x; p < x + n; p += piece) {
    for (int64_t h = 1; h < piece; h *= 2)
      for (int64_t i = 0; i < piece; i += 2 * h)
        for (int64_t j = i; j < i + h; ++j) {
          const float a = p[j], b = p[j + h];
          p[j] = a + b;
          p[j + h] = a - b;
        }
    for (int64_t j = 0; j < piece; ++j) p[j] *= scale;
  }
}

LatentCoder::LatentCoder(const LatentRow& row, const LayerCalibration* calibration) : row_(row) {
  check((calibration != nullptr) == row.format.calibrated, "a calibration for a calibrated format");
  if (calibration != nullptr) {
    scale_ = calibration->scale;
    zero_ = calibration->zero;
    levels_ = calibration->levels[static_cast<size_t>(row.format.bits)];
    check(std::ssize(scale_) == row.C && std::ssize(zero_) == row.C && levels_.size() == size_t{1} << row.format.bits,
          "a calibration of this width and of these bits");
    for (const float s : scale_) inverse_.push_back(1.0f / s);
  } else {
    const NormalLevels normal = normal_levels(row.format.bits);
    levels_.assign(normal.levels.begin(), normal.levels.end());
    levels_per_rms_ = normal.deviation;
  }
  for (size_t i = 0; i + 1 < levels_.size(); ++i)
    borders_.push_back(0.5f * (static_cast<float>(levels_[i]) + static_cast<float>(levels_[i + 1])));
  levels_.resize(size_t{1} << kMostLevelBits);
}

void LatentCoder::normalise(float* c) const noexcept {
  if (scale_.empty()) return hadamard(c, row_.C);
  for (int64_t j = 0; j < row_.C; ++j) {
    const auto k = static_cast<size_t>(j);
    c[j] = (c[j] - zero_[k]) * inverse_[k];
  }
}

void LatentCoder::restore(float* u) const noexcept {
  if (scale_.empty()) return hadamard(u, row_.C);
  for (int64_t j = 0; j < row_.C; ++j) {
    const auto k = static_cast<size_t>(j);
    u[j] = std::fma(u[j], scale_[k], zero_[k]);
  }
}

void LatentCoder::fold_query(float* q) const noexcept {
  if (scale_.empty()) return hadamard(q, row_.C);
  for (int64_t j = 0; j < row_.C; ++j) q[j] *= scale_[static_cast<size_t>(j)];
}

uint8_t LatentCoder::nearest(float x) const noexcept {
  size_t code = 0;
  for (size_t step = size_t{1} << row_.format.bits >> 1; step > 0; step /= 2)
    if (x > borders_[code + step - 1]) code += step;
  return static_cast<uint8_t>(code);
}

LatentCodes LatentCoder::encode(const float* row) const {
  const int64_t C = row_.C, R = row_.R;
  std::vector<float> u(row, row + C);
  normalise(u.data());
  float to_levels = kLevelTop;
  if (scale_.empty()) {
    float squares = 0;
    for (const float x : u) squares += x * x;
    const float rms = std::sqrt(squares / static_cast<float>(C));
    to_levels = rms >= 1e-30f ? levels_per_rms_ / rms : rms < 1e-30f ? 0.0f : rms;
  }
  LatentCodes out;
  out.codes.resize(static_cast<size_t>(row_.columns()));
  std::vector<LatentCodes::Residual> outside;
  float dot = 0, squares = 0, worst = 0;
  for (int64_t j = 0; j < C; ++j) {
    const float x = u[static_cast<size_t>(j)] * to_levels;
    const uint8_t code = nearest(x);
    const auto level = static_cast<float>(levels_[code]);
    out.codes[static_cast<size_t>(j)] = code;
    worst = std::max(worst, std::isfinite(x) ? 0.0f : 1.0f);
    if (row_.outliers > 0 && std::fabs(x) > kLevelTop) {
      outside.push_back({j, std::fabs(x)});
    } else {
      dot += u[static_cast<size_t>(j)] * level;
      squares += level * level;
    }
  }
  out.gain = 1.0f / kLevelTop;
  if (row_.format.gain) out.gain = squares > 0 ? f16_to_f32(f32_to_f16(dot / squares)) : 0.0f;
  const auto farther = [](const auto& a, const auto& b) { return a.value > b.value; };
  const int64_t kept = std::min(row_.outliers, std::ssize(outside));
  std::partial_sort(outside.begin(), outside.begin() + kept, outside.end(), farther);
  outside.resize(static_cast<size_t>(kept));
  std::sort(outside.begin(), outside.end(), [](const auto& a, const auto& b) { return a.column < b.column; });
  for (LatentCodes::Residual& r : outside) {
    const auto j = static_cast<size_t>(r.column);
    r.value = f16_to_f32(f32_to_f16(u[j] - out.gain * static_cast<float>(levels_[out.codes[j]])));
  }
  out.residuals = std::move(outside);
  float largest = 0;
  for (int64_t i = 0; i < R; ++i)
    largest = std::isnan(row[C + i]) ? row[C + i] : std::max(largest, std::fabs(row[C + i]));
  out.tail_scale = f16_to_f32(f32_to_f16(largest / kLevelTop));
  out.tail.resize(static_cast<size_t>(R));
  const float inverse = out.tail_scale > 0 && std::isfinite(out.tail_scale) ? 1.0f / out.tail_scale : 0.0f;
  for (int64_t i = 0; i < R; ++i) {
    const float code = std::nearbyint(row[C + i] * inverse);
    out.tail[static_cast<size_t>(i)] =
        static_cast<int8_t>(std::isfinite(code) ? std::clamp(code, -kLevelTop, kLevelTop) : 0.0f);
  }
  out.tail_scale = worst > 0 ? std::numeric_limits<float>::quiet_NaN() : finite_or_nan(out.tail_scale);
  return out;
}

void LatentCoder::store(const float* row, std::byte* block, int64_t i) const {
  const LatentCodes codes = encode(row);
  for (const LatentRow::Plane& p : row_.planes()) write_plane(p, codes.codes, block + p.at + i * row_.plane_bytes(p));
  std::memcpy(block + row_.tail_at() + i * row_.R, codes.tail.data(), codes.tail.size());
  write_half(f32_to_f16(codes.tail_scale), block + row_.tail_scales_at(), i);
  if (row_.format.gain) write_half(f32_to_f16(codes.gain), block + row_.gains_at(), i);
  for (int64_t k = 0; k < row_.outliers; ++k) {
    const bool there = k < std::ssize(codes.residuals);
    const auto r = there ? codes.residuals[static_cast<size_t>(k)] : LatentCodes::Residual{0, 0.0f};
    write_half(static_cast<uint16_t>(r.column), block + row_.outlier_columns_at(), i * row_.outliers + k);
    write_half(f32_to_f16(r.value), block + row_.residuals_at(), i * row_.outliers + k);
  }
}

LatentCodes LatentCoder::codes(const std::byte* block, int64_t i) const {
  LatentCodes out;
  out.codes.resize(static_cast<size_t>(row_.columns()));
  for (const LatentRow::Plane& p : row_.planes()) read_plane(p, block + p.at + i * row_.plane_bytes(p), out.codes);
  out.tail.resize(static_cast<size_t>(row_.R));
  std::memcpy(out.tail.data(), block + row_.tail_at() + i * row_.R, out.tail.size());
  out.tail_scale = f16_to_f32(read_half(block + row_.tail_scales_at(), i));
  out.gain = row_.format.gain ? f16_to_f32(read_half(block + row_.gains_at(), i)) : 1.0f / kLevelTop;
  for (int64_t k = 0; k < row_.outliers; ++k) {
    const float value = f16_to_f32(read_half(block + row_.residuals_at(), i * row_.outliers + k));
    if (value != 0.0f)
      out.residuals.push_back({read_half(block + row_.outlier_columns_at(), i * row_.outliers + k), value});
  }
  return out;
}

void LatentCoder::load_normalised(const std::byte* block, int64_t i, float* u, float* tail) const {
  const LatentCodes row = codes(block, i);
  for (int64_t j = 0; j < row_.C; ++j) u[j] = row.gain * static_cast<float>(levels_[row.codes[static_cast<size_t>(j)]]);
  for (const LatentCodes::Residual& r : row.residuals) u[r.column] += r.value;
  for (int64_t k = 0; k < row_.R; ++k) tail[k] = row.tail_scale * static_cast<float>(row.tail[static_cast<size_t>(k)]);
}

}  // namespace fathom
