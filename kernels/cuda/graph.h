// CUDA graphs of one device: what is enqueued on its compute stream between begin_capture and end_capture is recorded
// and not run, and launch_graph runs all of it at once. kernels/graph.h is the way to use them.
#pragma once

#include "kernels/cuda/runtime.h"

namespace taut {

TAUT_GPU_BACKENDS(
    bool is_capturing(int device);
    // Pools of the arena (kernels/cuda/arena.h), one a graph; 0 is everybody's. use_pool returns the one before.
    uint64_t new_pool(); uint64_t use_pool(int device, uint64_t pool) noexcept;
    void drop_pool(int device, uint64_t pool) noexcept;

    void begin_capture(int device); void* end_capture(int device);  // the graph, ready to be launched
    void abandon_capture(int device) noexcept; void launch_graph(void* graph, int device);
    void destroy_graph(void* graph) noexcept;)

}  // namespace taut
