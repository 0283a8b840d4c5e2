#include "kernels/block_pool.h"

namespace taut {

void BlockPool::add_free(char* p, size_t size) {
  const auto it = free_at_.emplace(p, size).first;
  try {
    free_by_size_.emplace(size, p);
  } catch (...) {
    free_at_.erase(it);
    throw;
  }
}

void BlockPool::drop_free(FreeByAddress::iterator it) {
  free_by_size_.erase({it->second, it->first});
  free_at_.erase(it);
}

void BlockPool::add_slab(char* begin, size_t size) {
  slabs_.emplace(begin, size);
  try {
    add_free(begin, size);
  } catch (...) {
    slabs_.erase(begin);
    throw;
  }
}

BlockPool::Taken BlockPool::take(size_t size) {
  const auto fit = free_by_size_.lower_bound({size, nullptr});
  if (fit == free_by_size_.end()) return {};
  const auto [have, p] = *fit;
  if (have > size) add_free(p + size, have - size);
  return {p, {free_at_.extract(p), free_by_size_.extract({have, p})}};
}

void BlockPool::give_back(Taken taken, size_t size) noexcept {
  char* p = taken.block;
  auto after = free_at_.lower_bound(p);
  if (after != free_at_.end() && after->first == p + size && !slabs_.contains(after->first)) {
    size += after->second;
    const auto gone = after++;
    drop_free(gone);
  }
  if (after != free_at_.begin() && !slabs_.contains(p)) {
    const auto before = std::prev(after);
    if (before->first + before->second == p) {
      p = before->first;
      size += before->second;
      drop_free(before);
    }
  }
  auto& [by_address, by_size] = taken.entries;
  by_address.key() = p;
  by_address.mapped() = size;
  by_size.value() = {size, p};
  free_at_.insert(std::move(by_address));
  free_by_size_.insert(std::move(by_size));
}

std::pair<char*, size_t> BlockPool::remove_free_slab(size_t size) {
  for (auto fit = free_by_size_.lower_bound({size, nullptr}); fit != free_by_size_.end(); ++fit) {
    const auto [have, p] = *fit;
    const auto slab = slabs_.find(p);
    if (slab == slabs_.end() || slab->second != have) continue;
    slabs_.erase(slab);
    drop_free(free_at_.find(p));
    return {p, have};
  }
  return {nullptr, 0};
}

}  // namespace taut
