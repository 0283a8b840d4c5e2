#include "kernels/simt/words.h"

#include <cstring>

#include "kernels/simt/shadow.h"

namespace taut::runner {
namespace {

struct ShuffleIn {
  unsigned long long value;
  Source source;
  Reach reach;
};
struct BallotIn {
  bool predicate;
};

void do_shuffle(unsigned mask, const Slot* in, Slot* out) {
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = __builtin_ctz(rest);
    ShuffleIn mine;
    std::memcpy(&mine, in[lane].bytes, sizeof mine);
    int from = mine.source(lane, mine.reach);
    if (from >= mine.reach.first(lane) + mine.reach.width) from = lane;
    // A lane outside the mask holds nothing that may be read; CUDA leaves the result undefined, here it is all ones.
    unsigned long long value = ~0ull;
    if (from >= 0 && from < kWarp && (mask >> from & 1) != 0) {
      ShuffleIn theirs;
      std::memcpy(&theirs, in[from].bytes, sizeof theirs);
      value = theirs.value;
    }
    std::memcpy(out[lane].bytes, &value, sizeof value);
  }
}

void do_ballot(unsigned mask, const Slot* in, Slot* out) {
  unsigned votes = 0;
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = __builtin_ctz(rest);
    BallotIn vote;
    std::memcpy(&vote, in[lane].bytes, sizeof vote);
    if (vote.predicate) votes |= 1u << lane;
  }
  for (unsigned rest = mask; rest != 0; rest &= rest - 1)
    std::memcpy(out[__builtin_ctz(rest)].bytes, &votes, sizeof votes);
}

template <class T>
T add(T* address, T value, void* site) {
  note_access(address, sizeof(T), Access::kAtomic, site, true);
  const T before = *address;
  *address = before + value;
  return before;
}

}  // namespace

unsigned long long shuffle_bits(const char* what, unsigned mask, unsigned long long value, Source source, Reach reach,
                                Place place) {
  const ShuffleIn in{value, source, reach};
  unsigned long long out = 0;
  warp_exchange(what, mask, &in, sizeof in, &out, sizeof out, do_shuffle, place);
  return out;
}

unsigned ballot_bits(const char* what, unsigned mask, bool predicate, Place place) {
  const BallotIn in{predicate};
  unsigned out = 0;
  warp_exchange(what, mask, &in, sizeof in, &out, sizeof out, do_ballot, place);
  return out;
}

}  // namespace taut::runner

using taut::runner::add;

int atomicAdd(int* address, int value) { return add(address, value, __builtin_return_address(0)); }
unsigned atomicAdd(unsigned* address, unsigned value) { return add(address, value, __builtin_return_address(0)); }
unsigned long long atomicAdd(unsigned long long* address, unsigned long long value) {
  return add(address, value, __builtin_return_address(0));
}
