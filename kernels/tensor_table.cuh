// Work on many tensors in one launch. Their addresses and sizes are a table among the kernel's arguments, which a graph
// records with the launch; every tensor is cut into pieces, and who works on a piece finds its tensor in the table.
#pragma once

#include "kernels/device.cuh"

namespace taut::TAUT_GPU {

template <class Entry>
struct TensorTable {
  static constexpr int kMost = 64;  // a launch takes 4 KB of arguments
  Entry entry[kMost];
  int64_t first[kMost];  // the number of an entry's first piece
  int64_t pieces;
  int count;

  // Which entry `piece` belongs to: the last whose first piece is not beyond it.
  __device__ int of(int64_t piece) const {
    int low = 0, high = count;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      if (first[middle] <= piece)
        low = middle;
      else
        high = middle;
    }
    return low;
  }
};

// Calls launch(table) for tables of all entries in their order; those of no pieces are left out.
template <class Entry, class Pieces, class Launch>
void for_each_table(const Entry* entries, int64_t count, Pieces&& pieces_of, Launch&& launch_table) {
  static_assert(sizeof(TensorTable<Entry>) <= 4000);
  TensorTable<Entry> table = {};
  for (int64_t i = 0; i < count; ++i) {
    const int64_t mine = pieces_of(entries[i]);
    if (mine == 0) continue;
    table.entry[table.count] = entries[i];
    table.first[table.count++] = table.pieces;
    table.pieces += mine;
    if (table.count < TensorTable<Entry>::kMost) continue;
    launch_table(table);
    table.pieces = table.count = 0;
  }
  if (table.count > 0) launch_table(table);
}

}  // namespace taut::TAUT_GPU
