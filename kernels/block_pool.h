// The bookkeeping of an arena, on the host and on a device: blocks of slabs, best fit over (size, address), neighbours
// merged on release. The same sequence of requests gives the same addresses, and a step that repeats finds the blocks
// of the step before. It never touches the memory itself.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <utility>

namespace taut {

class BlockPool {
 public:
  void add_slab(char* begin, size_t size);
  // A block of exactly `size` bytes; null where no free block holds it.
  char* take(size_t size);
  void give_back(char* block, size_t size);
  // Takes out the smallest slab of at least `size` bytes that is free as a whole; {null, 0} where there is none.
  std::pair<char*, size_t> remove_free_slab(size_t size);
  // Bytes of the largest free block.
  size_t largest_free() const { return free_by_size_.empty() ? 0 : free_by_size_.rbegin()->first; }

 private:
  void add_free(char* p, size_t size);
  void drop_free(std::map<char*, size_t>::iterator it);

  std::map<char*, size_t> slabs_;                    // begin -> size; blocks of different slabs are never merged
  std::map<char*, size_t> free_at_;                  // address -> size; never touching neighbours of one slab
  std::set<std::pair<size_t, char*>> free_by_size_;  // the same blocks
};

}  // namespace taut
