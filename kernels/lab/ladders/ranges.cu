#include "kernels/lab/ranges.h"

#ifndef TAUT_SIMT
#include <nvtx3/nvToolsExt.h>
#endif

namespace taut::TAUT_GPU {

#ifdef TAUT_SIMT
void begin_range(const char*) {}
void end_range() {}
#else
void begin_range(const char* name) { nvtxRangePushA(name); }
void end_range() { nvtxRangePop(); }
#endif

}  // namespace taut::TAUT_GPU
