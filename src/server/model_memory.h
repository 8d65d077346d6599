// Who of several models may be in memory. A model that is to be loaded waits until there is room for it; where there is
// not, others are asked to go: those without requests first, of these the one that was used least recently.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

namespace fathom::server {

// Thread-safe. Calls a model's functions while it holds its lock, so these must not call it back.
class ModelMemory {
 public:
  struct Member {
    double bytes = 0;  // that it takes when it is loaded
    std::function<bool()> is_idle;
    std::function<std::chrono::steady_clock::time_point()> last_used;
    std::function<void()> unload;  // asked to go: it does so when its requests have ended, and then calls release()
  };

  explicit ModelMemory(double budget_bytes) : budget_(budget_bytes) {}
  // In the order of their numbers; all before the first acquire().
  void add(Member member);

  // Waits until the model fits beside those that are loaded; one that is alone always does. Those that wait are served
  // in the order that they came. false, and nothing is held, when still_wanted() says so; it is asked about twenty
  // times a second.
  bool acquire(size_t index, const std::function<bool()>& still_wanted);
  void release(size_t index);  // also where nothing is held

 private:
  struct Held {
    Member member;
    bool is_held = false, is_leaving = false;
  };
  bool fits(size_t index, bool without_leaving) const;
  void ask_to_leave(size_t index);

  double budget_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable released_;
  std::vector<Held> members_;
  std::deque<size_t> waiting_;
};

}  // namespace fathom::server
