// Kernels with one planted fault each, and beside each its faultless twin: what the detectors of the SIMT runner must
// catch, and what they must leave alone. Every kernel reverses or sums within a block of 64 threads.
#include "kernels/tensor_core.cuh"
#include "tests/simt/planted_faults.h"

namespace taut::simt {

float planted_host_value = 0;

namespace {

constexpr int kThreads = 64;

// ---- race -----------------------------------------------------------------------------------------------------------

template <bool planted>
__global__ void reverse_in_shared(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  tile[threadIdx.x] = x[threadIdx.x];
  if constexpr (!planted) __syncthreads();
  y[threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
}

// Warp 0 writes the tile again while warp 1 may still read it.
template <bool planted>
__global__ void write_after_read(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  float sum = 0;
  for (int round = 0; round < 2; ++round) {
    tile[threadIdx.x] = x[threadIdx.x] + static_cast<float>(round);
    __syncthreads();
    sum += tile[kThreads - 1 - threadIdx.x];
    if constexpr (!planted) __syncthreads();
  }
  y[threadIdx.x] = sum;
}

// Lanes of one warp exchange through shared memory: a warp barrier is enough, none is not.
template <bool planted>
__global__ void neighbour_in_warp(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  tile[threadIdx.x] = x[threadIdx.x];
  if constexpr (!planted) __syncwarp();
  y[threadIdx.x] = tile[threadIdx.x ^ 1];
}

// A warp barrier does not order different warps.
template <bool planted>
__global__ void neighbour_warp(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  tile[threadIdx.x] = x[threadIdx.x];
  if constexpr (planted)
    __syncwarp();
  else
    __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x ^ 32];
}

// A shuffle exchanges registers and orders no memory.
template <bool planted>
__global__ void neighbour_after_a_shuffle(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  tile[threadIdx.x] = x[threadIdx.x];
  const float theirs = __shfl_xor_sync(kAllLanes, x[threadIdx.x], 1);
  if constexpr (!planted) __syncwarp();
  y[threadIdx.x] = tile[threadIdx.x ^ 1] - theirs;
}

// Three lanes read a word, and one of them writes it again, which has met the third but not the second.
template <bool planted>
__global__ void second_of_three_readers(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  if (threadIdx.x == 0) tile[0] = x[0];
  __syncthreads();
  const float v = threadIdx.x < 3 ? tile[0] : 0;
  constexpr unsigned kFirstAndThird = 5;
  if constexpr (!planted)
    __syncwarp();
  else if (threadIdx.x < 3 && threadIdx.x != 1)
    __syncwarp(kFirstAndThird);
  if (threadIdx.x == 0) tile[0] = v + 1;
  y[threadIdx.x] = v;
}

// Two lanes write the halves of a word; another reads the half that was written first.
template <bool planted>
__global__ void first_half_of_a_word(const float* x, float* y) {
  Shared shared;
  auto* halves = shared.take<uint16_t>(kThreads);
  halves[threadIdx.x] = static_cast<uint16_t>(x[threadIdx.x]);
  if constexpr (!planted) __syncwarp();
  const unsigned from = lane() < 2 ? threadIdx.x : (threadIdx.x - 2) / 2 * 2;
  y[threadIdx.x] = halves[from];
}

// Every thread adds to one word of global memory, of all blocks.
template <bool planted>
__global__ void count_in_global(const float* x, float* y) {
  auto* counter = reinterpret_cast<int*>(y);
  if (x[threadIdx.x] > 2) return;
  if constexpr (planted)
    counter[0] += 1;
  else
    atomicAdd(counter, 1);
}

// Two blocks write the same words.
template <bool planted>
__global__ void blocks_overlap(const float* x, float* y) {
  const unsigned at = planted ? threadIdx.x : blockIdx.x * 32 + threadIdx.x % 32;
  if (planted || threadIdx.x < 32) y[at] = x[threadIdx.x];
}

// ---- divergent barrier ----------------------------------------------------------------------------------------------

template <bool planted>
__global__ void barrier_in_branch(const float* x, float* y) {
  if (!planted || threadIdx.x < 32) __syncthreads();
  y[threadIdx.x] = x[threadIdx.x];
}

template <bool planted>
__global__ void two_barriers(const float* x, float* y) {
  if (planted && threadIdx.x % 2 == 0)
    __syncthreads();
  else
    __syncthreads();
  y[threadIdx.x] = x[threadIdx.x];
}

template <bool planted>
__global__ void early_return(const float* x, float* y) {
  if (planted && threadIdx.x == 5) return;
  __syncthreads();
  y[threadIdx.x] = x[threadIdx.x];
}

// A shuffle names a lane that does not take part.
template <bool planted>
__global__ void shuffle_mask(const float* x, float* y) {
  float v = x[threadIdx.x];
  if (threadIdx.x % 32 < 16) v = __shfl_xor_sync(planted ? 0x0001ffffu : 0x0000ffffu, v, 1);
  y[threadIdx.x] = v;
}

// ---- out of bounds --------------------------------------------------------------------------------------------------

template <bool planted>
__global__ void past_the_end(const float* x, float* y) {
  y[threadIdx.x] = x[threadIdx.x + (planted ? 1 : 0)];
}

template <bool planted>
__global__ void before_the_beginning(const float* x, float* y) {
  const int at = static_cast<int>(threadIdx.x) - (planted ? 1 : 0);
  y[at] = x[threadIdx.x];
}

// Two arrays of shared memory: the first one's end is not the second.
template <bool planted>
__global__ void next_array(const float* x, float* y) {
  Shared shared;
  float* a = shared.take<float>(kThreads);
  float* b = shared.take<float>(kThreads);
  a[threadIdx.x] = x[threadIdx.x];
  b[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = planted ? a[kThreads + threadIdx.x] : b[threadIdx.x];
}

// More shared memory than the launch gave.
template <bool planted>
__global__ void too_much_shared(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads * (planted ? 4 : 2));
  tile[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = tile[threadIdx.x];
}

// A variable of the host.
template <bool planted>
__global__ void host_memory(const float* x, float* y) {
  if constexpr (planted) planted_host_value = x[threadIdx.x];
  y[threadIdx.x] = x[threadIdx.x];
}

// ---- misaligned -----------------------------------------------------------------------------------------------------

template <bool planted>
__global__ void wide_load(const float* x, float* y) {
  if (threadIdx.x >= 8) return;
  const Float4 v = load4(x + 4 * threadIdx.x + (planted ? 1 : 0));
  store4(y + 4 * threadIdx.x, v);
}

template <bool planted>
__global__ void odd_word(const float* x, float* y) {
  const char* bytes = reinterpret_cast<const char*>(x) + (planted ? 2 : 4);
  y[threadIdx.x] = threadIdx.x < 32 ? *reinterpret_cast<const float*>(bytes) : 0;
}

// ---- uninitialised --------------------------------------------------------------------------------------------------

template <bool planted>
__global__ void half_a_tile(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  if (!planted || threadIdx.x < 63) tile[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
}

// The block before wrote the tile; shared memory does not live that long.
template <bool planted>
__global__ void of_the_block_before(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  if (!planted || blockIdx.x == 0) tile[threadIdx.x] = x[threadIdx.x];
  if (threadIdx.x < 32) y[blockIdx.x * 32 + threadIdx.x] = tile[threadIdx.x];
}

template <bool planted>
__global__ void reads_the_output(const float* x, float* y) {
  if constexpr (!planted) y[threadIdx.x] = 0;
  y[threadIdx.x] += x[threadIdx.x];
}

// ---- matrix loads, asynchronous copies, products of fragments -------------------------------------------------------

// A warp loads rows that the other warp has written.
template <bool planted>
__global__ void matrices_of_the_other_warp(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(2 * kThreads);
  tile[threadIdx.x] = x[threadIdx.x];
  if constexpr (planted)
    __syncwarp();
  else
    __syncthreads();
  uint32_t r[4];
  load_matrices(r, tile + (threadIdx.x ^ 32) / 4 * 4);
  y[threadIdx.x] = as_real(static_cast<int32_t>(r[threadIdx.x % 4]));
}

template <bool planted>
__global__ void matrices_half_written(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  if (!planted || threadIdx.x != 60) tile[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  uint32_t r[4];
  load_matrices_transposed(r, tile + threadIdx.x / 4 * 4);
  y[threadIdx.x] = as_real(static_cast<int32_t>(r[0]));
}

template <bool planted>
__global__ void matrices_past_the_tile(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  tile[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  uint32_t r[4];
  load_matrices(r, tile + (threadIdx.x / 4 + (planted ? 1 : 0)) * 4);
  y[threadIdx.x] = as_real(static_cast<int32_t>(r[0]));
}

template <bool planted>
__global__ void matrices_misaligned(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(2 * kThreads);
  tile[threadIdx.x] = tile[threadIdx.x + kThreads] = x[threadIdx.x];
  __syncthreads();
  uint32_t r[4];
  load_matrices(r, tile + threadIdx.x / 4 * 4 + (planted ? 2 : 0));
  y[threadIdx.x] = as_real(static_cast<int32_t>(r[0]));
}

// Every fourth thread copies 16 bytes for four.
__device__ void copy_tile(float* tile, const float* x, int shift) {
  if (threadIdx.x % 4 == 0) copy_async(tile + threadIdx.x, x + threadIdx.x + shift, 16);
  commit_copies();
}

template <bool planted>
__global__ void copy_not_waited_for(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  copy_tile(tile, x, 0);
  if constexpr (!planted) wait_for_copies<0>();
  __syncthreads();
  y[threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
}

// Two groups, of which one may still be on its way.
template <bool planted>
__global__ void copy_of_the_second_group(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  float* second = shared.take<float>(kThreads);
  copy_tile(tile, x, 0);
  copy_tile(second, x, 0);
  wait_for_copies<1>();
  __syncthreads();
  y[threadIdx.x] = planted ? second[threadIdx.x] : tile[threadIdx.x];
}

// Waited for by the thread that copied, but the others were not told.
template <bool planted>
__global__ void copy_without_barrier(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  copy_tile(tile, x, 0);
  wait_for_copies<0>();
  if constexpr (!planted) __syncthreads();
  y[threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
}

// The next copy begins while others still read what it replaces.
template <bool planted>
__global__ void copy_over_what_is_read(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  float sum = 0;
  for (int round = 0; round < 2; ++round) {
    copy_tile(tile, x, 0);
    wait_for_copies<0>();
    __syncthreads();
    sum += tile[kThreads - 1 - threadIdx.x];
    if constexpr (!planted) __syncthreads();
  }
  y[threadIdx.x] = sum;
}

template <bool planted>
__global__ void copy_past_the_end(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  copy_tile(tile, x, planted ? 4 : 0);
  wait_for_copies<0>();
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];
}

// A row of 8 bytes at the end is copied with zeros behind it, not 16.
template <bool planted>
__global__ void copy_of_a_short_row(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  const bool last = threadIdx.x == 60;
  if (threadIdx.x % 4 == 0) copy_async(tile + threadIdx.x, x + threadIdx.x + (last ? 4 : 0), last && !planted ? 0 : 16);
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];
}

template <bool planted>
__global__ void copy_misaligned(const float* x, float* y) {
  Shared shared;
  float* tile = shared.take<float>(kThreads);
  if (threadIdx.x < 8) copy_async(tile + 4 * threadIdx.x, x + 4 * threadIdx.x + (planted ? 1 : 0), 16);
  commit_copies();
  wait_for_copies<0>();
  if (threadIdx.x < 8) y[threadIdx.x] = tile[4 * threadIdx.x];
}

// A product of fragments is the whole warp's.
template <bool planted>
__global__ void product_in_branch(const float* x, float* y) {
  float d[4] = {};
  const uint32_t one = pack_bf16(x[threadIdx.x], 1.0f), a[4] = {one, one, one, one}, b[2] = {one, one};
  if (!planted || threadIdx.x % 32 != 7) mma_bf16(d, a, b);
  y[threadIdx.x] = d[0];
}

struct Both {
  const char* fault;
  const char* kernel;
  void (*planted)(const float*, float*);
  void (*twin)(const float*, float*);
  unsigned blocks = 1;
  bool needs_zeros = false;
};

#define TAUT_BOTH(fault, kernel, ...) \
  { fault, #kernel, kernel<true>, kernel<false>, ##__VA_ARGS__ }
constexpr Both kAll[] = {
    TAUT_BOTH("race", reverse_in_shared),
    TAUT_BOTH("race", write_after_read),
    TAUT_BOTH("race", neighbour_in_warp),
    TAUT_BOTH("race", neighbour_warp),
    TAUT_BOTH("race", neighbour_after_a_shuffle),
    TAUT_BOTH("race", second_of_three_readers),
    TAUT_BOTH("race", first_half_of_a_word),
    TAUT_BOTH("race", count_in_global, 2, true),
    TAUT_BOTH("race", blocks_overlap, 2),
    TAUT_BOTH("divergent-barrier", barrier_in_branch),
    TAUT_BOTH("divergent-barrier", two_barriers),
    TAUT_BOTH("divergent-barrier", early_return),
    TAUT_BOTH("divergent-barrier", shuffle_mask),
    TAUT_BOTH("out-of-bounds", past_the_end),
    TAUT_BOTH("out-of-bounds", before_the_beginning),
    TAUT_BOTH("out-of-bounds", next_array),
    TAUT_BOTH("out-of-bounds", too_much_shared),
    TAUT_BOTH("out-of-bounds", host_memory),
    TAUT_BOTH("misaligned", wide_load),
    TAUT_BOTH("misaligned", odd_word),
    TAUT_BOTH("uninitialised", half_a_tile),
    TAUT_BOTH("uninitialised", of_the_block_before, 2),
    TAUT_BOTH("uninitialised", reads_the_output),
    TAUT_BOTH("race", matrices_of_the_other_warp),
    TAUT_BOTH("uninitialised", matrices_half_written),
    TAUT_BOTH("out-of-bounds", matrices_past_the_tile),
    TAUT_BOTH("misaligned", matrices_misaligned),
    TAUT_BOTH("uninitialised", copy_not_waited_for),
    TAUT_BOTH("uninitialised", copy_of_the_second_group),
    TAUT_BOTH("race", copy_without_barrier),
    TAUT_BOTH("race", copy_over_what_is_read),
    TAUT_BOTH("out-of-bounds", copy_past_the_end),
    TAUT_BOTH("out-of-bounds", copy_of_a_short_row),
    TAUT_BOTH("misaligned", copy_misaligned),
    TAUT_BOTH("divergent-barrier", product_in_branch),
};
#undef TAUT_BOTH

}  // namespace

std::vector<PlantedFault> planted_faults() {
  std::vector<PlantedFault> all;
  for (const Both& both : kAll)
    for (const bool planted : {true, false})
      all.push_back({both.fault, both.kernel, planted, both.blocks, both.needs_zeros});
  return all;
}

void run_planted_fault(const PlantedFault& fault, const float* x, float* y) {
  for (const Both& both : kAll) {
    if (fault.kernel != both.kernel) continue;
    launch(fault.planted ? both.planted : both.twin, dim3(fault.blocks), dim3(kThreads), 2 * kThreads * sizeof(float),
           Stream{}, x, y);
  }
}

}  // namespace taut::simt
