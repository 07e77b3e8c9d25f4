// What rooms keep in memory of a database, beside it: one object of each type, made at its first use and gone with the
// store. It holds what can be read again at any time, never what must last.
// Thread: safe anywhere; the objects guard themselves.
#pragma once

#include <memory>
#include <mutex>
#include <typeindex>
#include <unordered_map>

namespace store {

class Tx;

class Kept {
 public:
  template <class T>
  T& of() {
    std::lock_guard lock(mutex_);
    std::shared_ptr<void>& object = objects_[std::type_index(typeid(T))];
    if (!object) object = std::make_shared<T>();
    return *static_cast<T*>(object.get());
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::type_index, std::shared_ptr<void>> objects_;
};

// Of the store that runs tx. Null in a write: what it sees may yet be undone.
Kept* kept_beside(Tx& tx);

}  // namespace store
