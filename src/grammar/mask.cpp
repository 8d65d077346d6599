#include "grammar/mask.h"

namespace fathom::grammar {

MaskCache::Entry MaskCache::find(const Key& key) {
  const std::lock_guard lock(mutex_);
  const auto place = places_.find(key);
  if (place == places_.end()) return {};
  order_.splice(order_.begin(), order_, place->second);
  return place->second->second;
}

void MaskCache::add(const Key& key, Entry entry) {
  const std::lock_guard lock(mutex_);
  if (places_.count(key) != 0) return;  // another thread was quicker
  bytes_ += bytes_of(entry);
  order_.emplace_front(key, std::move(entry));
  places_.emplace(key, order_.begin());
  while (bytes_ > max_bytes_ && order_.size() > 1) {
    bytes_ -= bytes_of(order_.back().second);
    places_.erase(order_.back().first);
    order_.pop_back();
  }
}

}  // namespace fathom::grammar
