// Every open connection, kept until it is closed, and which of them may be closed to make room for another.
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

namespace fathom::http {

class Connection;

// Thread-safe. Costs the same for any number of connections.
class ConnectionTable {
 public:
  // In the order in which connections became what they are. The oldest that waits is closed first, whether it has sent
  // nothing or half a request: who floods us with either makes room with its own, and a client that sends its request
  // at once is served long before its turn comes.
  enum class Kind : uint8_t {
    waiting,  // for a request, or the rest of it
    busy,     // is being answered: never closed for another
  };
  struct Entry {
    std::shared_ptr<Connection> connection;
    Kind kind = Kind::waiting;
  };
  using Place = std::list<Entry>::iterator;

  Place add(std::shared_ptr<Connection> connection) {
    const std::lock_guard lock(mutex_);
    return list(Kind::waiting).insert(list(Kind::waiting).end(), {std::move(connection), Kind::waiting});
  }
  void move(Place place, Kind to) {
    const std::lock_guard lock(mutex_);
    move_locked(place, to);
  }
  void remove(Place place) noexcept {
    const std::shared_ptr<Connection> last = std::move(place->connection);  // destroyed outside of the lock
    const std::lock_guard lock(mutex_);
    list(place->kind).erase(place);
  }
  size_t size() const {
    const std::lock_guard lock(mutex_);
    return lists_[0].size() + lists_[1].size();
  }
  // The oldest that may be closed, from now on counted as busy; null when there is none.
  std::shared_ptr<Connection> oldest_to_close() {
    const std::lock_guard lock(mutex_);
    if (list(Kind::waiting).empty()) return nullptr;
    const Place place = list(Kind::waiting).begin();
    move_locked(place, Kind::busy);
    return place->connection;
  }
  // Any of them; null when there is none.
  std::shared_ptr<Connection> any() const {
    const std::lock_guard lock(mutex_);
    for (const auto& entries : lists_)
      if (!entries.empty()) return entries.front().connection;
    return nullptr;
  }

 private:
  std::list<Entry>& list(Kind kind) { return lists_[static_cast<size_t>(kind)]; }
  void move_locked(Place place, Kind to) {
    list(to).splice(list(to).end(), list(place->kind), place);
    place->kind = to;
  }

  mutable std::mutex mutex_;
  std::list<Entry> lists_[2];
};

}  // namespace fathom::http
