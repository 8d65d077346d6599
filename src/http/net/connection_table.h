// Every open connection, and which of them may be closed to make room for another.
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

namespace fathom::http {

class Connection;

// Thread-safe. Costs the same for any number of connections, but for all().
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
    std::weak_ptr<Connection> connection;
    Kind kind = Kind::waiting;
  };
  using Place = std::list<Entry>::iterator;

  Place add(std::weak_ptr<Connection> connection) {
    const std::lock_guard lock(mutex_);
    return list(Kind::waiting).insert(list(Kind::waiting).end(), {std::move(connection), Kind::waiting});
  }
  void move(Place place, Kind to) {
    const std::lock_guard lock(mutex_);
    move_locked(place, to);
  }
  void remove(Place place) {
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
    while (!list(Kind::waiting).empty()) {
      const Place place = list(Kind::waiting).begin();
      move_locked(place, Kind::busy);
      if (auto found = place->connection.lock()) return found;
    }
    return nullptr;
  }
  std::vector<std::shared_ptr<Connection>> all() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<Connection>> out;
    for (const auto& entries : lists_)
      for (const Entry& entry : entries)
        if (auto found = entry.connection.lock()) out.push_back(std::move(found));
    return out;
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
