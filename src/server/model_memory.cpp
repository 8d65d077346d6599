#include "server/model_memory.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace fathom::server {

void ModelMemory::add(Member member) {
  const std::lock_guard lock(mutex_);
  members_.push_back({std::move(member)});
}

// without_leaving: as if those that were asked to go had gone.
bool ModelMemory::fits(size_t index, bool without_leaving) const {
  double others = 0;
  for (size_t i = 0; i < members_.size(); ++i)
    if (i != index && members_[i].is_held && !(without_leaving && members_[i].is_leaving))
      others += members_[i].member.bytes;
  return others == 0 || others + members_[index].member.bytes <= budget_;
}

// Enough of the others, the idle ones first, then the least recently used.
void ModelMemory::ask_to_leave(size_t index) {
  std::vector<std::tuple<bool, std::chrono::steady_clock::time_point, size_t>> others;
  for (size_t i = 0; i < members_.size(); ++i)
    if (const Held& h = members_[i]; i != index && h.is_held && !h.is_leaving)
      others.emplace_back(!h.member.is_idle(), h.member.last_used(), i);
  std::sort(others.begin(), others.end());
  for (const auto& [is_busy, last_used, i] : others) {
    if (fits(index, true)) return;
    members_[i].is_leaving = true;
    members_[i].member.unload();
  }
}

bool ModelMemory::acquire(size_t index, const std::function<bool()>& still_wanted) {
  std::unique_lock lock(mutex_);
  waiting_.push_back(index);
  const auto leave_queue = [&] {
    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), index));
    released_.notify_all();
  };
  for (;;) {
    if (waiting_.front() == index) {
      if (fits(index, false)) break;
      try {
        ask_to_leave(index);
      } catch (const std::bad_alloc&) {
        leave_queue();
        throw;
      }
    }
    released_.wait_for(lock, std::chrono::milliseconds(50));
    lock.unlock();
    const bool is_wanted = still_wanted();
    lock.lock();
    if (is_wanted) continue;
    leave_queue();
    return false;
  }
  leave_queue();
  members_[index].is_held = true;
  return true;
}

void ModelMemory::release(size_t index) {
  const std::lock_guard lock(mutex_);
  members_[index].is_held = members_[index].is_leaving = false;
  released_.notify_all();
}

}  // namespace fathom::server
