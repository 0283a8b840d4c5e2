// A barrier that the runner leaves out: what a kernel would do without that line, with nothing to compile. For tests
// that every barrier is needed, and that its loss is noticed.
#pragma once

#include <cstdint>
#include <set>
#include <string_view>
#include <utility>

namespace taut::runner {

// The places, file and line, of every __syncthreads and __syncwarp that a thread passes from now on go there; null: no
// more.
using Places = std::set<std::pair<std::string_view, int>>;
void note_barriers(Places* to);

// __syncthreads and __syncwarp at this line of a file (an ending of its path: "kernels/attention.cu") order nothing and
// wait for nobody from now on; line 0 leaves nothing out. At first it is what TAUT_SIMT_LEAVE_OUT says: FILE:LINE.
void leave_out_barrier(const char* file, int line);
// How often a thread passed what is left out, since that call.
int64_t barriers_left_out();

}  // namespace taut::runner
