#include "engine/scheduler/pace.h"

#include <algorithm>
#include <cmath>

namespace fathom {
namespace {

constexpr int64_t kFewestRows = 32;  // fewer gain little: weights are read for each of them
constexpr int64_t kFirstRows = 128;  // when nothing is known

}  // namespace

const DecayedMean* PassagePace::alone(int64_t n_decoding) const noexcept {
  const size_t n = std::min(kMaxRows, static_cast<size_t>(n_decoding));
  for (size_t d = 0; d <= kMaxRows; ++d) {
    if (n + d <= kMaxRows && alone_[n + d].is_known()) return &alone_[n + d];
    if (n > d && alone_[n - d].is_known()) return &alone_[n - d];
  }
  return nullptr;
}

double PassagePace::seconds_of_all(int64_t n_running) const noexcept {
  const size_t n = std::min(kMaxRows, static_cast<size_t>(n_running));
  size_t largest = kMaxRows;
  while (largest > 0 && !alone_[largest].is_known()) --largest;
  if (n <= largest) return alone(n_running)->value();
  if (largest == 0) return 0;
  const double growth = static_cast<double>(n) / static_cast<double>(largest);
  return alone_[largest].value() * (1 + growth) / 2;
}

DecayedMean& PassagePace::alone_of(int64_t n) noexcept { return alone_[std::min(kMaxRows, static_cast<size_t>(n))]; }

int64_t PassagePace::passage_rows(int64_t n_decoding, int64_t n_running, int64_t most) const noexcept {
  if (n_decoding == 0 || std::isinf(stretch_)) return most;
  if (!row_.is_known()) return std::min(most, kFirstRows);
  const DecayedMean* layer = alone(n_decoding);
  if (layer == nullptr) return std::min(most, kFirstRows);
  const double seconds = layers_ * (stretch_ * seconds_of_all(n_running) - layer->value());
  return std::clamp(static_cast<int64_t>(std::min(1e9, seconds / row_.value())), std::min(most, kFewestRows), most);
}

void PassagePace::begin(int64_t n_decoding, int64_t n_running, int64_t rows) noexcept {
  n_decoding_ = n_decoding;
  n_running_ = n_running;
  rows_ = rows;
  start_ = last_ = clock_();
  seconds_alone_ = layers_alone_ = 0;
  took_part_ = was_asked_ = false;
  refused_at_ = -1;
}

bool PassagePace::allows(int64_t layer) noexcept {
  const double now = clock_(), taken = now - last_;
  const DecayedMean* alone_layer = n_decoding_ > 0 ? alone(n_decoding_) : nullptr;
  const double own = alone_layer != nullptr ? alone_layer->value() : 0;
  if (took_part_) {
    row_.record(std::max(taken - own, 1e-9) / static_cast<double>(rows_));
  } else {  // the layers before the passage's first
    seconds_alone_ += taken;
    layers_alone_ += static_cast<double>(layer);
  }
  last_ = now;
  const bool is_first = !was_asked_;
  was_asked_ = true;
  if (n_decoding_ == 0 || is_first || std::isinf(stretch_)) return took_part_ = true;
  const double left = (layers_ - static_cast<double>(layer)) * own + row_.value() * static_cast<double>(rows_);
  took_part_ = now - start_ + left <= stretch_ * layers_ * seconds_of_all(n_running_);
  if (!took_part_) refused_at_ = layer;
  return took_part_;
}

void PassagePace::finish() noexcept {
  const double now = clock_();
  seconds_ = now - start_;
  if (n_decoding_ == 0) return;
  if (!was_asked_) {
    alone_of(n_decoding_).record(seconds_ / layers_);
    return;
  }
  if (refused_at_ >= 0) {
    seconds_alone_ += now - last_;
    layers_alone_ += layers_ - static_cast<double>(refused_at_);
  }
  if (layers_alone_ > 0) alone_of(n_decoding_).record(seconds_alone_ / layers_alone_);
}

}  // namespace fathom
