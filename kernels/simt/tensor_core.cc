#include "kernels/simt/tensor_core.h"

#include <cmath>
#include <cstring>
#include <deque>
#include <vector>

#include "kernels/simt/memory.h"
#include "kernels/simt/shadow.h"

namespace taut::runner {

int64_t tensor_product_count = 0, tensor_fma_count = 0;

namespace {

template <class To, class From>
To bits_of(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

struct Fragments {
  uint32_t a[4], b[2];
  float d[4];
};

Fragments of(const Slot& slot) {
  Fragments f;
  std::memcpy(&f, slot.bytes, sizeof f);
  return f;
}

// d (16, 8) += a (16, k) b (k, 8), where `a_at` and `b_at` find an element among the lanes' registers.
template <int k, class A, class B>
void multiply(const Slot* in, Slot* out, A&& a_at, B&& b_at) {
  float a[16][k], b[k][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const Fragments f = of(in[lane]);
    a_at(f, lane / 4, lane % 4, a);
    b_at(f, lane / 4, lane % 4, b);
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    const Fragments f = of(in[lane]);
    float d[4];
    for (int e = 0; e < 4; ++e) {
      const int row = lane / 4 + e / 2 * 8, col = lane % 4 * 2 + e % 2;
      float chain = f.d[e];
      for (int i = 0; i < k; ++i) chain = std::fma(a[row][i], b[i][col], chain);
      d[e] = chain;
    }
    std::memcpy(out[lane].bytes, d, sizeof d);
  }
  ++tensor_product_count;
  tensor_fma_count += int64_t{16} * 8 * k;
}

float low_bf16(uint32_t pair) { return bits_of<float>(pair << 16); }
float high_bf16(uint32_t pair) { return bits_of<float>(pair & 0xffff0000u); }
float tf32(uint32_t bits) { return bits_of<float>(bits & 0xffffe000u); }

void do_mma_bf16(unsigned, const Slot* in, Slot* out) {
  multiply<16>(
      in, out,
      [](const Fragments& f, int group, int t, float(&a)[16][16]) {
        for (int r = 0; r < 4; ++r) {
          float* const row = a[group + r % 2 * 8] + 2 * t + r / 2 * 8;
          row[0] = low_bf16(f.a[r]);
          row[1] = high_bf16(f.a[r]);
        }
      },
      [](const Fragments& f, int group, int t, float(&b)[16][8]) {
        for (int r = 0; r < 2; ++r) {
          b[2 * t + r * 8][group] = low_bf16(f.b[r]);
          b[2 * t + r * 8 + 1][group] = high_bf16(f.b[r]);
        }
      });
}

void do_mma_tf32(unsigned, const Slot* in, Slot* out) {
  multiply<8>(
      in, out,
      [](const Fragments& f, int group, int t, float(&a)[16][8]) {
        for (int r = 0; r < 4; ++r) a[group + r % 2 * 8][t + r / 2 * 4] = tf32(f.a[r]);
      },
      [](const Fragments& f, int group, int t, float(&b)[8][8]) {
        for (int r = 0; r < 2; ++r) b[t + r * 4][group] = tf32(f.b[r]);
      });
}

void mma(const char* what, Exchange exchange, float* d, const uint32_t* a, const uint32_t* b, Place place) {
  Fragments f;
  std::memcpy(f.a, a, sizeof f.a);
  std::memcpy(f.b, b, sizeof f.b);
  std::memcpy(f.d, d, sizeof f.d);
  warp_exchange(what, ~0u, &f, sizeof f, d, sizeof f.d, exchange, place);
}

template <bool transposed>
void do_load_matrices(unsigned, const Slot* in, Slot* out) {
  for (int lane = 0; lane < kWarp; ++lane) {
    uint16_t r[8];
    for (int m = 0; m < 4; ++m)
      for (int e = 0; e < 2; ++e) {
        const int line = lane / 4, along = lane % 4 * 2 + e;
        const int row = transposed ? along : line, col = transposed ? line : along;
        std::memcpy(&r[2 * m + e], in[8 * m + row].bytes + 2 * col, sizeof r[0]);
      }
    std::memcpy(out[lane].bytes, r, sizeof r);
  }
}

struct Copy {
  std::byte* to;
  std::byte data[16];
  void* site;
};
// Of one thread: what it has issued, and its groups, oldest first.
struct Copies {
  uint64_t block = 0;
  std::vector<Copy> issued;
  std::deque<std::vector<Copy>> groups;
};

Copies& copies() {
  static std::vector<Copies> of_threads(kMaxThreads);
  Copies& mine = of_threads[standing.thread - standing.block_first];
  if (mine.block != standing.block_began) {
    mine.block = standing.block_began;
    mine.issued.clear();
    mine.groups.clear();
  }
  return mine;
}

}  // namespace

void mma_bf16(float* d, const uint32_t* a, const uint32_t* b, Place place) {
  mma("mma.m16n8k16", do_mma_bf16, d, a, b, place);
}
void mma_tf32(float* d, const uint32_t* a, const uint32_t* b, Place place) {
  mma("mma.m16n8k8", do_mma_tf32, d, a, b, place);
}

void load_matrices(uint32_t* r, const void* row, bool transposed, Place place) {
  note_access(row, 16, Access::kRead, __builtin_return_address(0), true);
  warp_exchange("ldmatrix", ~0u, row, 16, r, 16, transposed ? do_load_matrices<true> : do_load_matrices<false>, place);
}

void copy_async(void* to, const void* from, int bytes) {
  void* const site = __builtin_return_address(0);
  // Both sides are aligned to 16 whatever is copied; an address that is not is told as such.
  const bool aligned = reinterpret_cast<uintptr_t>(from) % 16 == 0;
  if (bytes > 0) note_access(from, aligned ? static_cast<size_t>(bytes) : 16, Access::kRead, site, true);
  // One byte earlier: the same instruction, but a site of its own to count.
  note_access(to, 16, Access::kWrite, static_cast<std::byte*>(site) - 1, true);
  Copy copy{static_cast<std::byte*>(to), {}, site};
  if (bytes > 0) std::memcpy(copy.data, from, static_cast<size_t>(bytes));
  if (detecting) set_written(to, 16, false);
  copies().issued.push_back(copy);
}

void commit_copies() {
  Copies& mine = copies();
  mine.groups.push_back(std::move(mine.issued));
  mine.issued.clear();
}

void wait_for_copies(int pending) {
  Copies& mine = copies();
  for (; std::ssize(mine.groups) > pending; mine.groups.pop_front())
    for (const Copy& copy : mine.groups.front()) {
      std::memcpy(copy.to, copy.data, sizeof copy.data);
      note_access(copy.to, sizeof copy.data, Access::kWrite, copy.site, false);
    }
}

}  // namespace taut::runner
