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
  using FreeByAddress = std::map<char*, size_t>;
  using FreeBySize = std::set<std::pair<size_t, char*>>;

 public:
  // Entries of a block in the lists of free blocks, kept by whoever has the block: giving it back must not need memory.
  struct Entries {
    FreeByAddress::node_type by_address;
    FreeBySize::node_type by_size;
  };
  struct Taken {
    char* block = nullptr;
    Entries entries;
  };

  // Throws std::bad_alloc; nothing has changed then.
  void add_slab(char* begin, size_t size);
  // A block of exactly `size` bytes; null where no free block holds it. Throws std::bad_alloc; nothing has changed
  // then.
  Taken take(size_t size);
  // `size` is what it was taken with.
  void give_back(Taken taken, size_t size) noexcept;
  // Takes out the smallest slab of at least `size` bytes that is free as a whole; {null, 0} where there is none.
  std::pair<char*, size_t> remove_free_slab(size_t size);
  // Bytes of the largest free block.
  size_t largest_free() const { return free_by_size_.empty() ? 0 : free_by_size_.rbegin()->first; }

 private:
  void add_free(char* p, size_t size);
  void drop_free(FreeByAddress::iterator it);

  std::map<char*, size_t> slabs_;  // begin -> size; blocks of different slabs are never merged
  FreeByAddress free_at_;          // address -> size; never touching neighbours of one slab
  FreeBySize free_by_size_;        // the same blocks
};

}  // namespace taut
